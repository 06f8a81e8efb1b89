/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* From damage to records: what each scanout has yet to tell the presenter. */
#ifndef VGPUD_PRESENT_SCANOUT_H
#define VGPUD_PRESENT_SCANOUT_H

#include "device/device.h"

/* Whether it is shown from the DMA buffer of its resource, and not as pixels. */
bool scanout_by_buffer(const struct scanout *scanout);

void scanout_disable(struct device *device, uint32_t scanout_id);

/* `rectangle` of the resource was flushed: every scanout that shows some of it is to show it as it
 * is now. */
void scanouts_damage(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle);

/* The newest slot's picture is what is to be shown of it, and its size to be told. */
void scanout_repaint(struct device *device, uint32_t scanout_id);

/*
 * After another process has died: a resource that was taken over is shown where it was, and what
 * was shown of one that was not is gone.  What the session state says is checked as if a guest had
 * said it.
 */
void scanouts_restore(struct device *device, uint32_t resource_id);
void scanouts_drop_lost(struct device *device);

/* Sends what can be sent now of what had to wait. */
void scanouts_push(struct device *device);

#endif
