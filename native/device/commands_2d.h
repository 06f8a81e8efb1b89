/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The 2D commands that move pixels (VIRTIO 1.2, 5.7.6.8).  Each returns its response's type. */
#ifndef VGPUD_COMMANDS_2D_H
#define VGPUD_COMMANDS_2D_H

#include <stdint.h>

struct device;

uint32_t transfer_to_host_2d(struct device *device, const void *request);
uint32_t resource_flush(struct device *device, const void *request);

#endif
