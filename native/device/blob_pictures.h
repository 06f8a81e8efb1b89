/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The pictures of scanouts that show blobs (scanout.h): a blob has no image, so RESOURCE_FLUSH
 * copies there, once, what was drawn into it.
 */
#ifndef VGPUD_BLOB_PICTURES_H
#define VGPUD_BLOB_PICTURES_H

#include <stdint.h>

struct device;
struct rectangle;
struct resource;

/* Copies a rectangle of the blob's contents; 0, or its kind's error. */
int blob_pictures_fill(struct device *device, struct resource *resource,
                       const struct rectangle *rectangle);

/* RESOURCE_FLUSH of a blob that has pixels: likewise; the response's type.  A blob itself has no
 * width or height, so a rectangle may go beyond what is shown. */
uint32_t blob_pictures_flush(struct device *device, struct resource *resource,
                             const struct rectangle *rectangle);

#endif
