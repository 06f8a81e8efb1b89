/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What is drawn in a host blob, read: from its file, mapped, or by the library where the blob is a
 * texture, whose rows nobody knows the place of.
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
    int dmabuf; /* whose end and begin of reading the kernel is told; valid while `held` */
    bool held;  /* there is a descriptor of a DMA buffer */
};

/* Of a blob that the library has, to be shown as `layout` says, a picture that lies in it.  0, also
 * when it is open; -EINVAL: it is a texture of another size or format, or its file is shorter than
 * the guest has said; -EOPNOTSUPP: it can be read in no way; -ENOMEM: one descriptor too many. */
int blob_pixels_open(struct device *device, struct resource *resource, const struct layout *layout);
void blob_pixels_close(struct device *device, struct blob_pixels *pixels);

/* As a kind's copy_pixels (device/resource_kind.h), of what is open. */
int blob_pixels_copy(struct device *device, const struct surface *surface,
                     const struct rectangle *rectangle, uint8_t *to, uint64_t stride);

#endif
