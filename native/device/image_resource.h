/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* 2D resources: an image, which guest memory is copied into (VIRTIO 1.2, 5.7.6.8). */
#ifndef VGPUD_IMAGE_RESOURCE_H
#define VGPUD_IMAGE_RESOURCE_H

#include <linux/virtio_gpu.h>
#include <stdint.h>

/* [python] */
struct device;

/* -EEXIST: resource_id; -EINVAL: format or size; -ENOMEM: a quota. */
int resource_create_2d(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                       uint32_t height);

/* Recovery: over the image of a process that died, shown where the session state says that it was.
 * Duplicates `image_fd`. */
int resource_adopt_2d(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                      uint32_t height, int image_fd);
/* [end python] */

struct resource;

/* TRANSFER_TO_HOST_2D into an image, of whatever kind its resource is; the response's type. */
uint32_t image_transfer_to_host(struct device *device, struct resource *resource,
                                const struct virtio_gpu_transfer_to_host_2d *command);

#endif
