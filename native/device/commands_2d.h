/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The commands that show pixels (VIRTIO 1.2, 5.7.6.8), for resources of every kind.  Each returns
 * its response's type. */
#ifndef VGPUD_COMMANDS_2D_H
#define VGPUD_COMMANDS_2D_H

#include <linux/virtio_gpu.h>
#include <stdint.h>

struct device;

uint32_t transfer_to_host_2d(struct device *device, const void *request);
uint32_t resource_flush(struct device *device, const void *request);

/* Their part of a table of commands (renderers.h). */
#define COMMANDS_THAT_SHOW                                                                         \
    {.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,                                                   \
     .request_bytes = sizeof(struct virtio_gpu_transfer_to_host_2d),                               \
     .execute = transfer_to_host_2d},                                                              \
    {                                                                                              \
        .type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,                                                     \
        .request_bytes = sizeof(struct virtio_gpu_resource_flush), .execute = resource_flush       \
    }

#endif
