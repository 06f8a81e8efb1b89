/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * 2D resources: an image that the display shows, and the guest memory that backs it.
 */
#ifndef VGPUD_RESOURCE_H
#define VGPUD_RESOURCE_H

#include <stdint.h>

/* [python] */
struct device;

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
/* [end python] */

struct resource;

/* No scanout may show it any more. */
void resource_destroy(struct device *device, struct resource *resource);
void resources_destroy_all(struct device *device);

/* After a change of the memory table: looks every backing up anew; one that is not all there any
 * more is lost. */
void resources_translate(struct device *device);

#endif
