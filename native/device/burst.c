/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/burst.h"

#include "device/device.h"

enum {
    LONG_COPY = 64 << 10, /* bytes; before it the driver is told what is done */
    LOOK_COPY = 4 << 20,  /* bytes, between two looks at the other descriptors */
};

void burst_notify(struct device *device) {
    device->unnotified = 0;
    device->state->counters.calls += queue_notify(&device->queue);
}

void burst_tell(struct device *device) {
    burst_notify(device);
    channel_send_batch(&device->channel);
}

void burst_expect_copy(struct device *device, uint64_t bytes) {
    device->unnotified += bytes;
    if (device->unnotified < LONG_COPY)
        return;
    burst_tell(device);
    if (bytes >= LONG_COPY)
        device->burst += (uint32_t)(bytes * BURST_LOOK_EVERY / LOOK_COPY);
}
