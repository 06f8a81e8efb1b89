/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Textures as pixels: what was drawn, brought into the image that scanouts show. */
#ifndef VGPUD_READ_BACK_H
#define VGPUD_READ_BACK_H

#include <stdint.h>

struct device;
struct rectangle;
struct resource;

/* A format without its transfer function, which the display does not know of. */
uint32_t read_back_format(uint32_t format);

/* Makes the image of a texture; 0, -EINVAL: it cannot be shown, -ENOMEM. */
int read_back_begin(struct device *device, struct resource *resource);

/* Brings a rectangle of what was drawn into the image; 0, or the library's error. */
int read_back(struct device *device, struct resource *resource, const struct rectangle *rectangle);

/* Reads a rectangle of a texture of a format that images can be made of into one, rows of which are
 * `stride` bytes apart; 0, or what the library said. */
int read_back_rows(struct device *device, const struct resource *texture,
                   const struct rectangle *rectangle, uint8_t *to, uint64_t stride);

#endif
