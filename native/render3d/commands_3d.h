/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The commands that draw (VIRTIO 1.2, 5.7.6.8, "3D mode").  Each returns its response's type. */
#ifndef VGPUD_COMMANDS_3D_H
#define VGPUD_COMMANDS_3D_H

#include <stdint.h>

struct device;

uint32_t submit_3d(struct device *device, const void *request);
uint32_t transfer_to_host_3d(struct device *device, const void *request);
uint32_t transfer_from_host_3d(struct device *device, const void *request);

#endif
