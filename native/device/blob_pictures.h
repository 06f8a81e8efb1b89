/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The pictures of scanouts that show blobs (scanout.h): a blob has no image, so what was drawn into
 * it is copied there, once, by RESOURCE_FLUSH.
 */
#ifndef VGPUD_BLOB_PICTURES_H
#define VGPUD_BLOB_PICTURES_H

#include <stdint.h>

struct device;
struct rectangle;
struct resource;

/* Copies a rectangle of what is in the blob; 0, or what its kind said. */
int blob_pictures_fill(struct device *device, struct resource *resource,
                       const struct rectangle *rectangle);

/* RESOURCE_FLUSH of a blob that has pixels: likewise; the response's type.  A blob has no sides of
 * its own, so a rectangle may go beyond what is shown. */
uint32_t blob_pictures_flush(struct device *device, struct resource *resource,
                             const struct rectangle *rectangle);

#endif
