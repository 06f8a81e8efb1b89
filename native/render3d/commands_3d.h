/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a device does for a guest that draws, without Python. */
#ifndef VGPUD_COMMANDS_3D_H
#define VGPUD_COMMANDS_3D_H

#include "virgl/virgl.h"

/* [python] */
struct device;

/* Before anything else, of a device with RENDERER_2D; `virgl` stays the caller's and outlives
 * the device.  -ENOMEM. */
int device_set_virgl(struct device *device, struct virgl *virgl);
/* [end python] */

#endif
