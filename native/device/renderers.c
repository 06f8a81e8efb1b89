/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/renderers.h"

#include <linux/virtio_gpu.h>
#include <stddef.h>

#include "device/commands_2d.h"

/* clang-format off */
#define MOVES_PIXELS \
    {.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, \
     .request_bytes = sizeof(struct virtio_gpu_transfer_to_host_2d), \
     .execute = transfer_to_host_2d}, \
    {.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH, \
     .request_bytes = sizeof(struct virtio_gpu_resource_flush), \
     .execute = resource_flush}
/* clang-format on */

static uint32_t accept_3d(struct device *device, const void *request) {
    (void)device;
    (void)request;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static const struct command COMMANDS_2D[] = {MOVES_PIXELS, {0}};

/* The 2D ones check alike, and do not draw. */
static const struct command COMMANDS_NULL[] = {
    MOVES_PIXELS,
    {.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
     .request_bytes = sizeof(struct virtio_gpu_transfer_host_3d),
     .execute = accept_3d},
    {.type = VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
     .request_bytes = sizeof(struct virtio_gpu_transfer_host_3d),
     .execute = accept_3d},
    {.type = VIRTIO_GPU_CMD_SUBMIT_3D,
     .request_bytes = sizeof(struct virtio_gpu_cmd_submit),
     .execute = accept_3d},
    {0},
};

static const struct renderer RENDERERS[] = {
    [RENDERER_NULL] = {.commands = COMMANDS_NULL, .draws = false},
    [RENDERER_2D] = {.commands = COMMANDS_2D, .draws = true},
};

const struct renderer *renderer_find(int renderer) {
    int count = sizeof(RENDERERS) / sizeof(RENDERERS[0]);

    return renderer >= 0 && renderer < count ? &RENDERERS[renderer] : NULL;
}

const struct command *renderer_command(const struct renderer *renderer, uint32_t type) {
    for (const struct command *command = renderer->commands; command->type != 0; command++)
        if (command->type == type)
            return command;
    return NULL;
}
