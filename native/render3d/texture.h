/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Textures: resources that the library knows.
 *
 * A 2D resource stays the image in memory that it is in 2D until a context may touch it: until then
 * transfers and flushes need no renderer, and a renderer that dies takes nothing of a console or a
 * 2D desktop with it.
 */
#ifndef VGPUD_TEXTURE_H
#define VGPUD_TEXTURE_H

#include "render3d/gpu_library.h"

/* [python] */
struct device;

/* -EEXIST: resource_id; -EINVAL: what the library refuses; -ENOMEM: a quota; -ENOSYS: the guest
 * cannot draw. */
int resource_create_3d(struct device *device, const struct resource_3d *resource);
/* [end python] */

struct resource;

/* Makes a texture of an image, with the pixels and the backing that it has; 0, also of what the
 * library knows already, or -errno. */
int texture_promote(struct device *device, struct resource *resource);

/* The backing of what the library knows came, went or moved. */
void texture_backing_changed(struct device *device, struct resource *resource);

#endif
