/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/commands_2d.h"

#include "device/device.h"
#include "device/rectangle_of.h"
#include "device/scanout.h"

uint32_t transfer_to_host_2d(struct device *device, const void *request) {
    const struct virtio_gpu_transfer_to_host_2d *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);

    if (resource == NULL)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    return resource->kind->transfer_to_host(device, resource, command);
}

uint32_t resource_flush(struct device *device, const void *request) {
    const struct virtio_gpu_resource_flush *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    struct rectangle rectangle = rectangle_of(&command->r);
    uint32_t type;

    if (resource == NULL)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    type = resource->kind->flush(device, resource, &rectangle);
    if (type != VIRTIO_GPU_RESP_OK_NODATA)
        return type;
    device->state->counters.flushes++;
    device->flushed = true;
    channel_receive_sometimes(&device->channel);
    scanouts_damage(device, resource, &rectangle);
    device->state->counters.deferred += device->deferred != 0;
    return VIRTIO_GPU_RESP_OK_NODATA;
}
