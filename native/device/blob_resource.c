/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/blob_resource.h"

#include <errno.h>

#include "device/device.h"
#include "device/resource.h"

static int cannot_be_shown(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
    return -EINVAL;
}

static uint32_t transfer_to_host(struct device *device, struct resource *resource,
                                 const struct virtio_gpu_transfer_to_host_2d *command) {
    (void)device;
    (void)resource;
    (void)command;
    return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
}

static uint32_t flush(struct device *device, struct resource *resource,
                      const struct rectangle *rectangle) {
    (void)device;
    (void)resource;
    (void)rectangle;
    return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
}

static int read_back(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle) {
    (void)device;
    (void)resource;
    (void)rectangle;
    return -EINVAL;
}

static void nothing(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
}

static const struct resource_kind BLOB = {
    .number = RESOURCE_BLOB,
    .make_image = cannot_be_shown,
    .transfer_to_host = transfer_to_host,
    .flush = flush,
    .read_back = read_back,
    .backing_changed = nothing,
    .destroy = nothing,
};

int resource_create_blob(struct device *device, uint32_t resource_id) {
    int error = resource_check_new(device, resource_id);

    if (error < 0)
        return error;
    return resource_new(device, &BLOB, resource_id, 0) == NULL ? -ENOMEM : 0;
}
