/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The device's life, and its queue's: starting, stopping, going on where another process ended. */
#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "device/present_scanout.h"
#include "device/renderer.h"
#include "device/resource.h"
#include "device/scanout.h"
#include "device/unanswered.h"
#include "ring/fault.h"

/* --- the device */

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
                          int present_fd, int renderer, const struct device_limits *limits,
                          uint32_t num_scanouts) {
    struct device *device;
    int error;

    if (renderer_find(renderer) == NULL || num_scanouts > STATE_SCANOUTS) {
        errno = EINVAL;
        return NULL;
    }
    device = calloc(1, sizeof(*device));
    if (device == NULL)
        return NULL;
    device->memory = memory;
    device->state = state;
    device->renderer = renderer_find(renderer);
    device->limits = *limits;
    device->num_scanouts = num_scanouts;
    device->link_fd = device->channel.fd = device->channel.staging_fd = -1;
    queue_init(&device->queue);
    device->watcher = (struct memory_watcher){.changed = device_memory_changed, .argument = device};
    guest_memory_watch(memory, &device->watcher);
    error = open_device(device, link_fd, present_fd);
    if (error < 0) {
        device_free(device);
        errno = -error;
        return NULL;
    }
    return device;
}

void device_free(struct device *device) {
    if (device == NULL)
        return;
    guest_memory_unwatch(device->memory, &device->watcher);
    if (device->resources.buckets != NULL)
        device_reset(device);
    resource_table_destroy(&device->resources);
    channel_close(&device->channel);
    queue_close_fds(&device->queue);
    if (device->link_fd >= 0)
        close(device->link_fd);
    free(device->request);
    free(device);
}

/* --- its queue */

static void refuse_adopted(void *argument) {
    unanswered_refuse_adopted(argument);
}

static int recover(struct device *device, const struct virtqueue_config *config) {
    int error = queue_recover(&device->queue, device->memory, config, &device->state->queues[0]);

    if (error < 0)
        return error;
    scanouts_drop_lost(device);
    return fault_guarded(refuse_adopted, device) ? 0 : -EFAULT;
}

int device_queue_start(struct device *device, const struct virtqueue_config *config, uint32_t base,
                       int kick_fd, int call_fd, int err_fd, int recovers) {
    const int fds[] = {[QUEUE_KICK] = kick_fd, [QUEUE_CALL] = call_fd, [QUEUE_ERR] = err_fd};

    if (device->queue.started)
        return -EBUSY;
    for (int which = QUEUE_KICK; which <= QUEUE_ERR; which++) {
        int error = queue_set_fd(&device->queue, which, fds[which]);
        if (error < 0)
            return error;
    }
    device->queue_error = 0;
    if (recovers)
        return recover(device, config);
    return queue_start(&device->queue, device->memory, config, base, &device->state->queues[0]);
}

static void notify(void *argument) {
    struct device *device = argument;

    queue_notify(&device->queue);
}

int device_queue_stop(struct device *device, uint32_t *base) {
    bool whole = true;

    if (!device->queue.started)
        return -EINVAL;
    if (device->renderer->hooks != NULL)
        device->renderer->hooks->release(device, true);
    unanswered_refuse_all(device);
    if (!device->queue.broken)
        whole = fault_guarded(notify, device);
    device->queue_error = 0;
    *base = queue_stop(&device->queue);
    return whole ? 0 : -EFAULT;
}

int device_queue_set_enabled(struct device *device, int enabled) {
    device->queue.enabled = enabled;
    return 0;
}

int device_queue_set_fd(struct device *device, int which, int fd) {
    return queue_set_fd(&device->queue, which, fd);
}
