/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/control_queue.h"

#include <errno.h>

#include "device/device.h"
#include "device/scanout.h"
#include "device/unanswered.h"
#include "ring/fault.h"

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
    device->renderer->release(device, true);
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
