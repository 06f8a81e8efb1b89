/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/blob_resource.h"

#include <errno.h>

#include "device/backing_copy.h"
#include "device/burst.h"
#include "device/device.h"
#include "device/resource.h"
#include "device/scanout.h"

/* --- what is drawn */

/* Of what the scanout shows; a picture that is blank is filled whole. */
static struct rectangle missing(const struct scanout *scanout, const struct rectangle *rectangle) {
    return scanout->blank ? scanout->surface.shown
                          : rectangle_common(rectangle, &scanout->surface.shown);
}

static void copy(struct device *device, struct scanout *scanout, const struct rectangle *drawn) {
    const struct surface *surface = &scanout->surface;
    const struct layout *layout = &surface->layout;
    struct canvas *canvas = scanout->picture;
    struct rectangle target = {.x = drawn->x - surface->shown.x,
                               .y = drawn->y - surface->shown.y,
                               .width = drawn->width,
                               .height = drawn->height};
    uint64_t stride = canvas_stride(canvas);

    if (canvas_held(canvas))
        channel_receive(&device->channel); /* it may have been released meanwhile */
    canvas_begin_write(canvas, &target);
    backing_copy(device, surface->resource->backing, format_converter(layout->format),
                 &(struct rows){.from = layout_position(layout, drawn->x, drawn->y),
                                .from_stride = layout->stride,
                                .to = canvas_pixels(canvas, canvas->slot) + target.y * stride +
                                      (uint64_t)target.x * IMAGE_PIXEL_BYTES,
                                .to_stride = stride,
                                .pixels = drawn->width,
                                .count = drawn->height});
    device->state->counters.transfer_bytes += image_stride(drawn->width) * drawn->height;
    scanout->blank = false;
}

/* --- the kind */

/* Where its pixels lie SET_SCANOUT does not say. */
static int make_image(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
    return -EINVAL;
}

/* Its pixels are where they are to be. */
static uint32_t transfer_to_host(struct device *device, struct resource *resource,
                                 const struct virtio_gpu_transfer_to_host_2d *command) {
    (void)device;
    (void)resource;
    (void)command;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* What a flush is about to copy. */
static uint64_t missing_bytes(const struct device *device, const struct resource *resource,
                              const struct rectangle *rectangle) {
    uint64_t bytes = 0;

    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++) {
        const struct scanout *scanout = &device->scanouts[scanout_id];
        struct rectangle drawn;
        if (scanout->surface.resource != resource)
            continue;
        drawn = missing(scanout, rectangle);
        bytes += image_stride(drawn.width) * drawn.height;
    }
    return bytes;
}

static int read_back(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle) {
    if (resource->backing == NULL)
        return -ENODATA;
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++) {
        struct scanout *scanout = &device->scanouts[scanout_id];
        struct rectangle drawn;
        if (scanout->surface.resource != resource)
            continue;
        drawn = missing(scanout, rectangle);
        if (!rectangle_empty(&drawn))
            copy(device, scanout, &drawn);
    }
    return 0;
}

/* A blob has no sides of its own, so a rectangle may go beyond what is shown. */
static uint32_t flush(struct device *device, struct resource *resource,
                      const struct rectangle *rectangle) {
    if (!rectangle_bounded(rectangle))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (resource->backing == NULL)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    if (!resource->shown || !device->draws)
        return VIRTIO_GPU_RESP_OK_NODATA;
    burst_expect_copy(device, missing_bytes(device, resource, rectangle));
    return read_back(device, resource, rectangle) == 0 ? VIRTIO_GPU_RESP_OK_NODATA
                                                       : VIRTIO_GPU_RESP_ERR_UNSPEC;
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
    .read_back = read_back,
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
