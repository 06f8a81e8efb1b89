/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Resources that the library knows.
 *
 * A 2D resource stays the image in memory that it is in 2D until a context may touch it: until then
 * transfers and flushes need no renderer, and a renderer that dies takes nothing of a console or a
 * 2D desktop with it.
 */
#ifndef VGPUD_TEXTURE_H
#define VGPUD_TEXTURE_H

#include <stdint.h>
#include <sys/uio.h>

#include "shared/rectangle.h"
#include "virgl/api.h"

/* [python] */
struct device;

/* As virtio_gpu_resource_create_3d has them. */
struct resource_3d {
    uint32_t resource_id;
    uint32_t target;
    uint32_t format;
    uint32_t bind;
    uint32_t width;
    uint32_t height;
    uint32_t depth;
    uint32_t array_size;
    uint32_t last_level;
    uint32_t nr_samples;
    uint32_t flags;
};

/* -EEXIST; -EINVAL: resource_id, or what the library refuses; -ENOMEM: a quota. */
int resource_create_3d(struct device *device, const struct resource_3d *resource);
/* How much host memory it takes, estimated; UINT64_MAX when that cannot be counted. */
uint64_t resource_3d_bytes(const struct resource_3d *resource);
/* [end python] */

struct resource;

/* The library's side of a resource. */
struct virgl_resource {
    struct virgl_resource_create_args args;
    uint64_t bytes;    /* against the quota */
    struct iovec *iov; /* the backing, which the library keeps a pointer to; NULL: none */
};

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
