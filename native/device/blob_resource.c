/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/blob_resource.h"

#include <errno.h>

#include "device/backing_copy.h"
#include "device/blob_pictures.h"
#include "device/device.h"
#include "device/resource.h"
#include "device/scanout.h"

/* --- the kind */

/* Refused: SET_SCANOUT does not say where a blob's pixels are. */
static int make_image(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
    return -EINVAL;
}

/* Nothing to do: its pixels stay where they are. */
static uint32_t transfer_to_host(struct device *device, struct resource *resource,
                                 const struct virtio_gpu_transfer_to_host_2d *command) {
    (void)device;
    (void)resource;
    (void)command;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* All of it is inside the blob, and the backing is at least as large. */
static int make_surface(struct device *device, struct resource *resource,
                        const struct layout *layout) {
    (void)device;
    (void)resource;
    (void)layout;
    return 0;
}

static int copy_pixels(struct device *device, const struct surface *surface,
                       const struct rectangle *rectangle, uint8_t *to, uint64_t stride) {
    const struct layout *layout = &surface->layout;

    if (surface->resource->backing == NULL)
        return -ENODATA;
    backing_copy(device, surface->resource->backing, format_converter(layout->format),
                 &(struct rows){.from = layout_position(layout, rectangle->x, rectangle->y),
                                .from_stride = layout->stride,
                                .to = to,
                                .to_stride = stride,
                                .pixels = rectangle->width,
                                .count = rectangle->height});
    return 0;
}

static uint32_t flush(struct device *device, struct resource *resource,
                      const struct rectangle *rectangle) {
    if (resource->backing == NULL && rectangle_bounded(rectangle))
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    return blob_pictures_flush(device, resource, rectangle);
}

static void nothing(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
}

static const struct resource_kind BLOB = {
    .number = RESOURCE_BLOB,
    .make_image = make_image,
    .transfer_to_host = transfer_to_host,
    .flush = flush,
    .read_back = blob_pictures_fill,
    .make_surface = make_surface,
    .copy_pixels = copy_pixels,
    .backing_changed = nothing,
    .destroy = nothing,
};

/* --- creation */

int resource_create_blob(struct device *device, uint32_t resource_id, uint64_t bytes) {
    struct resource *resource;
    int error = resource_check_new(device, resource_id);

    if (error < 0)
        return error;
    if (bytes == 0)
        return -EINVAL;
    resource = resource_new(device, &BLOB, resource_id, 0);
    if (resource == NULL)
        return -ENOMEM;
    resource->blob_bytes = bytes;
    return 0;
}

int resource_adopt_blob(struct device *device, uint32_t resource_id, uint64_t bytes) {
    int error = resource_create_blob(device, resource_id, bytes);

    if (error == 0)
        scanouts_restore(device, resource_id);
    return error;
}
