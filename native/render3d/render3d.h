/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a device has when its guest draws with libvirglrenderer.
 *
 * A 2D resource stays the image in memory that it is in 2D until a context may touch it: until then
 * transfers and flushes need no renderer, and a renderer that dies takes nothing of a console or a
 * 2D desktop with it.
 */
#ifndef VGPUD_VIRGL_DEVICE_H
#define VGPUD_VIRGL_DEVICE_H

#include <stdbool.h>

#include "device/device.h"
#include "render3d/texture.h"
#include "virgl/virgl.h"

/* The library's side of a resource. */
struct virgl_resource {
    struct virgl_resource_create_args args;
    uint64_t bytes;    /* against the quota */
    struct iovec *iov; /* the backing, which the library keeps a pointer to; NULL: none */
};

struct virgl_context {
    uint32_t ctx_id;
    /* 2D resources that were attached and that the library does not know yet. */
    uint32_t *waiting;
    uint32_t waiting_count, waiting_room;
};

/* An answer that waits for a fence. */
struct virgl_held {
    uint32_t chain;
    uint32_t ctx_id, ring_idx; /* of the timeline, with of_ring */
    bool of_ring;              /* otherwise it is the one of all contexts */
    uint64_t fence;            /* our number for it: a guest's may come in any order */
    uint32_t length;
    struct virtio_gpu_ctrl_hdr header;
    uint8_t *response; /* one that is longer than a header */
};

struct virgl_device {
    struct virgl *virgl;
    struct virgl_context *contexts;
    uint32_t context_count, context_room;
    uint32_t last;   /* place of the context found last */
    uint8_t *stream; /* a copy of what a context is to do, out of the guest's reach */
    uint64_t stream_room;
    uint8_t *scratch; /* pixels between the library's format and the image's */
    uint64_t scratch_room;
    bool drawing; /* something was begun since the last fence */
    uint32_t last_fence;
    uint64_t last_ring_fence;
    uint32_t held_count;
    struct virgl_held held[QUEUE_SIZE_MAX];
};

/* A buffer of at least `length` bytes, aligned for anything; false: no memory. */
bool virgl_make_room(uint8_t **buffer, uint64_t *room, uint64_t length);

/* NULL: there is none. */
struct virgl_context *virgl_context_find(struct virgl_device *virgl, uint32_t ctx_id);
/* Makes the library know what was attached to the context: before anything that may use it. */
void virgl_context_settle(struct device *device, struct virgl_context *context);
/* The resource goes away: contexts that wait for it do so no longer. */
void virgl_contexts_forget(struct virgl_device *virgl, uint32_t resource_id);
void virgl_contexts_destroy_all(struct virgl_device *virgl);

/* Makes the library know a 2D resource, with the pixels and the backing that it has; 0 or -errno.
 */
int virgl_resource_promote(struct device *device, struct resource *resource);
/* The backing came, went or moved. */
void virgl_resource_backing_changed(struct device *device, struct resource *resource);
/* The library forgets the resource. */
void virgl_resource_destroy(struct device *device, struct resource *resource);
/* Makes the image through which a resource of the library's is shown; 0, -EINVAL: it cannot be,
 * -ENOMEM. */
int virgl_resource_make_canvas(struct device *device, struct resource *resource);
/* Brings a rectangle of what was drawn into the image; 0, or what the library said. */
int virgl_resource_read_back(struct device *device, struct resource *resource,
                             const struct rectangle *rectangle);

#endif
