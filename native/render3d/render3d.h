/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a device has when its guest draws with a 3D library. */
#ifndef VGPUD_RENDER3D_H
#define VGPUD_RENDER3D_H

#include <stdbool.h>

#include "device/device.h"
#include "render3d/blob_pixels.h"
#include "render3d/context.h"
#include "render3d/export.h"
#include "render3d/gpu_library.h"
#include "render3d/held.h"
#include "render3d/scratch.h"

/* The library's side of a resource: a texture, or a blob, whose `created` has only its number. */
struct texture {
    struct resource_3d created;
    uint64_t bytes;            /* against the quota, of textures or of host blobs */
    uint32_t flags;            /* VIRTIO_GPU_BLOB_FLAG_..., of a host blob */
    struct iovec *iov;         /* the backing, which the library keeps a pointer to; NULL: none */
    struct blob_pixels pixels; /* of a host blob that was shown */
};

struct render3d {
    struct gpu_library *library;
    struct context *contexts;
    uint32_t context_count, context_room;
    uint32_t last;         /* place of the context found last */
    struct scratch stream; /* a copy of a context's stream, out of the guest's reach */
    struct scratch pixels; /* between the library's format and the image's */
    bool drawing;          /* something was begun since the last fence */
    uint32_t last_fence;
    uint64_t last_context_fence;
    struct exports exports;
    uint64_t blob_bytes; /* of all host blobs, against the limit */
    uint32_t held_count;
    struct held held[QUEUE_SIZE_MAX];
};

/* What the library has of its backing, in bytes. */
static inline uint64_t texture_backing_bytes(const struct resource *resource) {
    return resource->texture->iov != NULL ? backing_bytes(resource->backing) : 0;
}

static inline struct gpu_library *library_of(const struct device *device) {
    return device->render3d->library;
}

#endif
