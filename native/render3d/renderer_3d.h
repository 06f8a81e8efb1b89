/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Makes a device draw for its guest with a library. */
#ifndef VGPUD_RENDERER_3D_H
#define VGPUD_RENDERER_3D_H

#include "render3d/gpu_library.h"

/* [python] */
struct device;

/* Called once, before anything else; the caller keeps `library`, which must outlive the device.
 * -ENOMEM. */
int device_set_library(struct device *device, struct gpu_library *library);
/* [end python] */

#endif
