/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What differs from one kind of resource to another: an image (image_resource.c), a texture
 * (render3d/texture.c), a guest blob (blob_resource.c), a
 * host blob (render3d/host_blob.c).  The commands are common to all (commands_2d.c,
 * resource.c, scanout.c).
 */
#ifndef VGPUD_RESOURCE_KIND_H
#define VGPUD_RESOURCE_KIND_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/rectangle.h"

/* [python] */
enum { RESOURCE_IMAGE = 1, RESOURCE_TEXTURE, RESOURCE_BLOB, RESOURCE_HOST_BLOB };
/* [end python] */

struct device;
struct layout;
struct resource;
struct surface;

/* Each kind has all of them, except that those for SET_SCANOUT_BLOB are NULL for a resource that is
 *not a blob. */
struct resource_kind {
    int number; /* RESOURCE_... */
    /*
     * It is about to be shown: makes the image for that.  0; -EINVAL: it cannot be shown; -ENOMEM.
     */
    int (*make_image)(struct device *device, struct resource *resource);
    /* TRANSFER_TO_HOST_2D; the response's type. */
    uint32_t (*transfer_to_host)(struct device *device, struct resource *resource,
                                 const struct virtio_gpu_transfer_to_host_2d *command);
    /* RESOURCE_FLUSH: checks the rectangle, and has its image show what was drawn there; the
     * response's type. */
    uint32_t (*flush)(struct device *device, struct resource *resource,
                      const struct rectangle *rectangle);
    /* Brings a rectangle of what was drawn into the image, or into the scanouts' own pictures; 0,
     * or an error. */
    int (*read_back)(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle);
    /* It is about to be shown as `layout` says, a picture that fits into its bytes.  0; -EINVAL: it
     * has no such picture; -EOPNOTSUPP: it cannot be read; -EIO: it is lost. */
    int (*make_surface)(struct device *device, struct resource *resource,
                        const struct layout *layout);
    /* Copies a rectangle of a surface that shows it into an image, rows of which are `stride` bytes
     * apart; 0, or an error. */
    int (*copy_pixels)(struct device *device, const struct surface *surface,
                       const struct rectangle *rectangle, uint8_t *to, uint64_t stride);
    /* Its contents may be lost with this process: its last picture is kept for the next one. */
    bool may_be_lost;
    /* Its backing was attached, detached or moved. */
    void (*backing_changed)(struct device *device, struct resource *resource);
    /* It is about to go: frees the kind's part. */
    void (*destroy)(struct device *device, struct resource *resource);
};

#endif
