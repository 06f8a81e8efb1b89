/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/renderer_3d.h"

#include <errno.h>
#include <stdlib.h>

#include "device/commands_2d.h"
#include "device/renderers.h"
#include "render3d/commands_3d.h"
#include "render3d/context.h"
#include "render3d/held.h"
#include "render3d/render3d.h"

static const struct command COMMANDS[] = {
    {.type = VIRTIO_GPU_CMD_SUBMIT_3D,
     .request_bytes = sizeof(struct virtio_gpu_cmd_submit),
     .execute = submit_3d,
     .any_length = true},
    COMMANDS_THAT_SHOW,
    {.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
     .request_bytes = sizeof(struct virtio_gpu_transfer_host_3d),
     .execute = transfer_to_host_3d},
    {.type = VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
     .request_bytes = sizeof(struct virtio_gpu_transfer_host_3d),
     .execute = transfer_from_host_3d},
    {0},
};

static void resource_gone(struct device *device, struct resource *resource) {
    contexts_forget(device->render3d, resource->resource_id);
}

static void reset(struct device *device) {
    held_forget(device);
    contexts_destroy_all(device->render3d);
}

static void close_renderer(struct device *device) {
    struct render3d *render3d = device->render3d;

    free(render3d->contexts);
    free(render3d->stream.bytes);
    free(render3d->pixels.bytes);
    free(render3d);
    device->render3d = NULL;
}

static const struct renderer RENDERER = {
    .commands = COMMANDS,
    .finishes_later = true,
    .resource_gone = resource_gone,
    .reset = reset,
    .close = close_renderer,
    .hold = held_add,
    .release = held_release,
    .sleep = held_sleep,
};

/* What has to be done for fences is done by the queue's thread. */
static int wake_queue_by(struct device *device, const struct gpu_library *library) {
    struct kick *kick = &device->queue.kick;
    int error = kick_wake_by(kick, library->fences.eventfd);

    if (error == 0 && library->poll_fd >= 0)
        error = kick_wake_by(kick, library->poll_fd);
    return error;
}

int device_set_library(struct device *device, struct gpu_library *library) {
    int error = wake_queue_by(device, library);

    if (error < 0)
        return error;
    device->render3d = calloc(1, sizeof(*device->render3d));
    if (device->render3d == NULL)
        return -ENOMEM;
    device->render3d->library = library;
    device->renderer = &RENDERER;
    library->operations->begin(library);
    return 0;
}
