/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Textures: resources that the library knows.
 *
 * A 2D resource stays an image, as in 2D, until a context may touch it.  Until then transfers and
 * flushes need no renderer, and a console or a 2D desktop loses nothing when a renderer dies.
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

/* Makes a texture of an image, with its pixels and its backing; 0, also if the library knows it
 * already, or -errno. */
int texture_promote(struct device *device, struct resource *resource);

/* The backing of a resource that the library knows was attached, detached or moved. */
void texture_backing_changed(struct device *device, struct resource *resource);

#endif
