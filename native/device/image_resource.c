/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/image_resource.h"

#include <errno.h>

#include "device/backing_copy.h"
#include "device/burst.h"
#include "device/device.h"
#include "device/images.h"
#include "device/rectangle_of.h"
#include "device/resource.h"
#include "device/scanout.h"
#include "shared/format.h"

/* --- copying */

static bool within(const struct resource *resource, const struct rectangle *rectangle) {
    return rectangle_within(rectangle, resource->canvas->width, resource->canvas->height);
}

/* Bytes of backing from the rectangle's first pixel to its last: there its rows have the same
 * distance as in the image. */
static uint64_t backing_extent(const struct canvas *canvas, const struct rectangle *rectangle) {
    return canvas_stride(canvas) * (rectangle->height - 1) + image_stride(rectangle->width);
}

static bool in_backing(const struct backing *backing, uint64_t offset, uint64_t extent) {
    uint64_t bytes = backing_bytes(backing);

    return offset <= bytes && extent <= bytes - offset;
}

static void copy(struct device *device, struct resource *resource,
                 const struct rectangle *rectangle, uint64_t offset) {
    struct canvas *canvas = resource->canvas;
    uint64_t stride = canvas_stride(canvas);
    uint8_t *to;

    canvas_begin_write(canvas, rectangle);
    to = canvas_pixels(canvas, canvas->slot) + rectangle->y * stride +
         (uint64_t)rectangle->x * IMAGE_PIXEL_BYTES;
    backing_copy(device, resource->backing, resource->convert,
                 &(struct rows){.from = offset,
                                .from_stride = stride,
                                .to = to,
                                .to_stride = stride,
                                .pixels = rectangle->width,
                                .count = rectangle->height});
}

uint32_t image_transfer_to_host(struct device *device, struct resource *resource,
                                const struct virtio_gpu_transfer_to_host_2d *command) {
    struct rectangle rectangle = rectangle_of(&command->r);
    uint64_t bytes;

    if (resource->backing == NULL)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    if (!within(resource, &rectangle))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (rectangle_empty(&rectangle))
        return VIRTIO_GPU_RESP_OK_NODATA;
    if (!in_backing(resource->backing, command->offset,
                    backing_extent(resource->canvas, &rectangle)))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (!device->draws)
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

/* --- the kind: the pixels are in the image as soon as they are transferred */

static int make_image(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
    return 0; /* it has one */
}

static uint32_t flush(struct device *device, struct resource *resource,
                      const struct rectangle *rectangle) {
    (void)device;
    return within(resource, rectangle) ? VIRTIO_GPU_RESP_OK_NODATA
                                       : VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}

static int read_back(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle) {
    (void)device;
    (void)resource;
    (void)rectangle;
    return 0;
}

static void nothing(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
}

static const struct resource_kind IMAGE = {
    .number = RESOURCE_IMAGE,
    .make_image = make_image,
    .transfer_to_host = image_transfer_to_host,
    .flush = flush,
    .read_back = read_back,
    .backing_changed = nothing,
    .destroy = nothing,
};

/* --- creation */

static int check_new(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                     uint32_t height) {
    int error = resource_check_new(device, resource_id);

    if (error < 0)
        return error;
    if (format_converter(format) == NULL || width == 0 || height == 0)
        return -EINVAL;
    return width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX ? -ENOMEM : 0;
}

/* Takes `canvas` over. */
static int insert(struct device *device, uint32_t resource_id, uint32_t format,
                  struct canvas *canvas) {
    struct resource *resource = resource_new(device, &IMAGE, resource_id, format);

    if (resource == NULL) {
        canvas_free(canvas);
        return -ENOMEM;
    }
    resource->convert = format_converter(format);
    resource->canvas = canvas;
    images_add(device, resource);
    return 0;
}

/* `image_fd` -1: a new image. */
static int create(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                  uint32_t height, int image_fd) {
    struct canvas *canvas;
    int error = check_new(device, resource_id, format, width, height);

    if (error < 0)
        return error;
    if (!images_fit(device, width, height))
        return -ENOMEM;
    canvas = image_fd < 0 ? canvas_new(++device->next_image_id, width, height)
                          : canvas_adopt(++device->next_image_id, width, height, image_fd);
    return canvas == NULL ? -errno : insert(device, resource_id, format, canvas);
}

int resource_create_2d(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                       uint32_t height) {
    return create(device, resource_id, format, width, height, -1);
}

int resource_adopt_2d(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                      uint32_t height, int image_fd) {
    int error =
        image_fd < 0 ? -EBADF : create(device, resource_id, format, width, height, image_fd);

    if (error == 0)
        scanouts_restore(device, resource_id);
    return error;
}
