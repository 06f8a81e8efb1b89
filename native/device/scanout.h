/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Scanouts: which part of which resource each display shows, and what of it has yet to be shown. */
#ifndef VGPUD_SCANOUT_H
#define VGPUD_SCANOUT_H

#include <stdint.h>

#include "device/run.h"

/* [python] */
/* `resource_id` 0 disables.  -ENODEV: no such scanout; -ENOENT: no such resource; -EINVAL: an empty
 * rectangle, or outside the resource; -ENOMEM: the quota for images. */
int scanout_set(struct device *device, uint32_t scanout_id, uint32_t resource_id, uint32_t x,
                uint32_t y, uint32_t width, uint32_t height);

/* Of a scanout that is shown from a DMA buffer: brings what was drawn into the image, for others to
 * look at.  -ENODEV; -EIO: the renderer cannot. */
int scanout_read_back(struct device *device, uint32_t scanout_id);

/* There is a new display: every enabled scanout is presented whole. */
void device_repaint(struct device *device);

/* Resources, scanouts and pending chains (unanswered) are gone. */
void device_reset(struct device *device);
/* [end python] */

#endif
