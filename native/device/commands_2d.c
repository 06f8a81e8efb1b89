/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/commands_2d.h"

#include "device/burst.h"
#include "device/device.h"
#include "shared/format.h"
#include "shared/stream.h"

static struct rectangle rectangle_of(const struct virtio_gpu_rect *rect) {
    return (struct rectangle){
        .x = rect->x, .y = rect->y, .width = rect->width, .height = rect->height};
}

static bool within(const struct resource *resource, const struct rectangle *rectangle) {
    return rectangle_within(rectangle, resource->canvas->width, resource->canvas->height);
}

/* Bytes of backing from the rectangle's first pixel to its last: its rows are as far apart there as
 * in the image. */
static uint64_t backing_extent(const struct canvas *canvas, const struct rectangle *rectangle) {
    return canvas_stride(canvas) * (rectangle->height - 1) + image_stride(rectangle->width);
}

static bool in_backing(const struct backing *backing, uint64_t offset, uint64_t extent) {
    uint64_t bytes = backing_bytes(backing);

    return offset <= bytes && extent <= bytes - offset;
}

/* Rows without gaps between them. */
static void copy_whole(struct device *device, struct resource *resource, uint64_t offset,
                       uint8_t *to, uint64_t pixels) {
    uint64_t bytes = pixels * IMAGE_PIXEL_BYTES, begun;
    bool streamed;

    if (bytes < STREAM_MAYBE) {
        backing_read(resource->backing, offset, to, pixels, resource->convert);
        return;
    }
    streamed = stream_wanted(&device->stream, bytes);
    begun = stream_clock();
    backing_read(resource->backing, offset, to, pixels,
                 streamed ? format_streaming(resource->convert) : resource->convert);
    stream_measured(&device->stream, streamed, bytes, stream_clock() - begun);
}

static void copy(struct device *device, struct resource *resource,
                 const struct rectangle *rectangle, uint64_t offset) {
    struct canvas *canvas = resource->canvas;
    uint64_t stride = canvas_stride(canvas), pixels = rectangle->width;
    uint8_t *to;

    canvas_begin_write(canvas, rectangle);
    to = canvas_pixels(canvas, canvas->slot) + rectangle->y * stride +
         (uint64_t)rectangle->x * IMAGE_PIXEL_BYTES;
    if (rectangle->width == canvas->width) {
        copy_whole(device, resource, offset, to, pixels * rectangle->height);
        return;
    }
    for (uint32_t rows = rectangle->height; rows > 0; rows--, to += stride, offset += stride)
        backing_read(resource->backing, offset, to, pixels, resource->convert);
}

uint32_t transfer_to_host_2d(struct device *device, const void *request) {
    const struct virtio_gpu_transfer_to_host_2d *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    struct rectangle rectangle = rectangle_of(&command->r);
    uint64_t bytes;

    if (resource == NULL)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (resource->backing == NULL)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    if (!within(resource, &rectangle))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (rectangle_empty(&rectangle))
        return VIRTIO_GPU_RESP_OK_NODATA;
    if (!in_backing(resource->backing, command->offset,
                    backing_extent(resource->canvas, &rectangle)))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (!device->renderer->draws)
        return VIRTIO_GPU_RESP_OK_NODATA;
    bytes = image_stride(rectangle.width) * rectangle.height;
    burst_expect_copy(device, bytes);
    if (canvas_held(resource->canvas))
        channel_receive(&device->channel); /* it may have been released meanwhile */
    copy(device, resource, &rectangle, command->offset);
    device->state->counters.transfers++;
    device->state->counters.transfer_bytes += bytes;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t resource_flush(struct device *device, const void *request) {
    const struct virtio_gpu_resource_flush *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    struct rectangle rectangle = rectangle_of(&command->r);

    if (resource == NULL)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!within(resource, &rectangle))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    device->state->counters.flushes++;
    channel_receive_sometimes(&device->channel);
    scanouts_damage(device, resource, &rectangle);
    device->state->counters.deferred += device->deferred != 0;
    return VIRTIO_GPU_RESP_OK_NODATA;
}
