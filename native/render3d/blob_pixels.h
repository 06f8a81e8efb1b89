/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Reads what was drawn in a host blob: from its mapped file, or by the library if the blob is a
 * texture, whose layout only the library knows.
 */
#ifndef VGPUD_BLOB_PIXELS_H
#define VGPUD_BLOB_PIXELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;
struct layout;
struct rectangle;
struct resource;
struct surface;

/* All zero before it was shown. */
struct blob_pixels {
    const uint8_t *mapped; /* NULL: a texture, or nothing */
    size_t length;
    int dmabuf; /* for telling the kernel when reading begins and ends; valid while `held` */
    bool held;  /* there is a descriptor of a DMA buffer */
};

/* Opens the pixels of a blob of the library, to be shown as `layout` says, a picture that is inside
 * it.  0, also when it is open already; -EINVAL: it is a texture of another size or format, or its
 * file is shorter than the guest has said; -EOPNOTSUPP: it cannot be read; -ENOMEM: one descriptor
 * too many. */
int blob_pixels_open(struct device *device, struct resource *resource, const struct layout *layout);
void blob_pixels_close(struct device *device, struct blob_pixels *pixels);

/* As a kind's copy_pixels (device/resource_kind.h); it must be open. */
int blob_pixels_copy(struct device *device, const struct surface *surface,
                     const struct rectangle *rectangle, uint8_t *to, uint64_t stride);

#endif
