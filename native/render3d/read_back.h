/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Textures as pixels: what was drawn, brought into the image that scanouts show. */
#ifndef VGPUD_READ_BACK_H
#define VGPUD_READ_BACK_H

struct device;
struct rectangle;
struct resource;

/* Makes the image of a texture; 0, -EINVAL: it cannot be shown, -ENOMEM. */
int read_back_begin(struct device *device, struct resource *resource);

/* Brings a rectangle of what was drawn into the image; 0, or what the library said. */
int read_back(struct device *device, struct resource *resource, const struct rectangle *rectangle);

#endif
