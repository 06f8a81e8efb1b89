/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/lifetime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "device/device.h"
#include "device/images.h"
#include "device/renderers.h"
#include "device/resource.h"
#include "device/scanout.h"
#include "device/unanswered.h"

/* --- another memory table */

static void memory_changed(void *argument) {
    struct device *device = argument;

    resources_translate(device);
    if (device->queue.started && !device->queue.broken)
        device->queue_error = queue_translate(&device->queue);
    if (device->queue_error < 0) /* its pointers must not be used any more */
        device->queue.broken = true;
}

int device_lost_backings(struct device *device) {
    int lost = (int)device->lost_backings;

    device->lost_backings = 0;
    return lost;
}

/* --- making */

static int open_device(struct device *device, int link_fd, int present_fd) {
    int error;

    if (!resource_table_init(&device->resources))
        return -ENOMEM;
    if (link_fd >= 0)
        device->link_fd = fcntl(link_fd, F_DUPFD_CLOEXEC, 0);
    if (link_fd >= 0 && device->link_fd < 0)
        return -errno;
    error = kick_open(&device->queue.kick);
    if (error == 0 && device->link_fd >= 0)
        error = kick_set_other(&device->queue.kick, device->link_fd);
    return error < 0 ? error : channel_open(&device->channel, present_fd);
}

struct device *device_new(struct guest_memory *memory, struct session_state *state, int link_fd,
                          int present_fd, int draws, const struct device_limits *limits,
                          uint32_t num_scanouts) {
    struct device *device;
    int error;

    if (num_scanouts > STATE_SCANOUTS) {
        errno = EINVAL;
        return NULL;
    }
    device = calloc(1, sizeof(*device));
    if (device == NULL)
        return NULL;
    device->memory = memory;
    device->state = state;
    device->renderer = &RENDERER_OF_IMAGES;
    device->draws = draws != 0;
    device->limits = *limits;
    device->num_scanouts = num_scanouts;
    device->link_fd = device->channel.fd = device->channel.staging_fd = -1;
    queue_init(&device->queue);
    device->watcher = (struct memory_watcher){.changed = memory_changed, .argument = device};
    guest_memory_watch(memory, &device->watcher);
    images_start(device);
    error = open_device(device, link_fd, present_fd);
    if (error < 0) {
        device_free(device);
        errno = -error;
        return NULL;
    }
    return device;
}

/* --- reset, and the end */

void device_reset(struct device *device) {
    unanswered_drop_all(device);
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        scanout_disable(device, scanout_id);
    resources_destroy_all(device);
    device->renderer->reset(device);
}

void device_free(struct device *device) {
    if (device == NULL)
        return;
    guest_memory_unwatch(device->memory, &device->watcher);
    if (device->resources.buckets != NULL)
        device_reset(device);
    device->renderer->close(device);
    resource_table_destroy(&device->resources);
    channel_close(&device->channel);
    queue_close_fds(&device->queue);
    if (device->link_fd >= 0)
        close(device->link_fd);
    free(device->request);
    free(device);
}
