/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * 2D resources: an image that the display shows, and the guest memory that backs it.
 */
#ifndef VGPUD_RESOURCE_H
#define VGPUD_RESOURCE_H

#include <stdint.h>

#include "device/run.h"

/* [python] */
/* -EEXIST; -EINVAL: resource_id, format or size; -ENOMEM: a quota. */
int resource_create_2d(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                       uint32_t height);

/* Recovery: over the image of a process that died, shown where the session state says that it was.
 * Duplicates `image_fd`. */
int resource_adopt_2d(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                      uint32_t height, int image_fd);

int resource_image_fd(struct device *device, uint32_t resource_id); /* borrowed, or -ENOENT */

/* -ENOENT.  Scanouts that show it are disabled. */
int resource_unref(struct device *device, uint32_t resource_id);

/* `entries`: nr_entries × struct virtio_gpu_mem_entry.  -ENOENT; -EEXIST: it has backing; -EFAULT:
 * outside guest memory; -ENOMEM: a quota. */
int resource_attach_backing(struct device *device, uint32_t resource_id, const uint8_t *entries,
                            uint32_t nr_entries);
/* -ENOENT: no such resource, or it has no backing. */
int resource_detach_backing(struct device *device, uint32_t resource_id);

/* How many resources have lost their backing to changes of the memory table since this was last
 * asked.  A queue that lost its rings to one is broken, which the next device_run() says. */
int device_lost_backings(struct device *device);
/* [end python] */

/* For guest_memory_watch(): looks up anew what lies in guest memory. */
void device_memory_changed(void *argument);

#endif
