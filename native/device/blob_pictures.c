/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/blob_pictures.h"

#include "device/burst.h"
#include "device/device.h"
#include "device/resource_kind.h"
#include "device/scanout.h"

/* What the picture lacks of a rectangle; a blank picture is filled whole. */
static struct rectangle missing(const struct scanout *scanout, const struct rectangle *rectangle) {
    return scanout->blank ? scanout->surface.shown
                          : rectangle_common(rectangle, &scanout->surface.shown);
}

static int copy(struct device *device, struct scanout *scanout, const struct rectangle *drawn) {
    const struct surface *surface = &scanout->surface;
    struct canvas *canvas = scanout->picture;
    struct rectangle target = {.x = drawn->x - surface->shown.x,
                               .y = drawn->y - surface->shown.y,
                               .width = drawn->width,
                               .height = drawn->height};
    uint64_t stride = canvas_stride(canvas);
    int error;

    if (canvas_held(canvas))
        channel_receive(&device->channel); /* it may have been released meanwhile */
    canvas_begin_write(canvas, &target);
    error = surface->resource->kind->copy_pixels(device, surface, drawn,
                                                 canvas_pixels(canvas, canvas->slot) +
                                                     target.y * stride +
                                                     (uint64_t)target.x * IMAGE_PIXEL_BYTES,
                                                 stride);
    if (error != 0)
        return error;
    device->state->counters.transfer_bytes += image_stride(drawn->width) * drawn->height;
    scanout->blank = false;
    return 0;
}

int blob_pictures_fill(struct device *device, struct resource *resource,
                       const struct rectangle *rectangle) {
    int error = 0;

    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++) {
        struct scanout *scanout = &device->scanouts[scanout_id];
        struct rectangle drawn;
        if (scanout->surface.resource != resource)
            continue;
        drawn = missing(scanout, rectangle);
        if (error == 0 && !rectangle_empty(&drawn))
            error = copy(device, scanout, &drawn);
    }
    return error;
}

/* How much a flush will copy. */
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

uint32_t blob_pictures_flush(struct device *device, struct resource *resource,
                             const struct rectangle *rectangle) {
    if (!rectangle_bounded(rectangle))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (!resource->shown || !device->draws)
        return VIRTIO_GPU_RESP_OK_NODATA;
    burst_expect_copy(device, missing_bytes(device, resource, rectangle));
    return blob_pictures_fill(device, resource, rectangle) == 0 ? VIRTIO_GPU_RESP_OK_NODATA
                                                                : VIRTIO_GPU_RESP_ERR_UNSPEC;
}
