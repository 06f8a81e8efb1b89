/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/texture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/images.h"
#include "render3d/render3d.h"
#include "render3d/resource_size.h"
#include "render3d/scratch.h"

static const struct virgl_api *api_of(const struct device *device) {
    return &device->virgl->virgl->api;
}

/* --- creation */

static int create_in_library(struct device *device, struct resource *resource,
                             const struct virgl_resource_create_args *args) {
    uint64_t bytes = virgl_resource_bytes(args);
    struct virgl_resource *virgl;

    if (!images_make_room(device, bytes))
        return -ENOMEM;
    virgl = calloc(1, sizeof(*virgl));
    if (virgl == NULL)
        return -ENOMEM;
    *virgl = (struct virgl_resource){.args = *args, .bytes = bytes};
    if (api_of(device)->resource_create(&virgl->args, NULL, 0) != 0) {
        free(virgl);
        return -EINVAL;
    }
    images_take(device, bytes);
    resource->virgl = virgl;
    return 0;
}

static struct virgl_resource_create_args args_of(const struct resource_3d *resource) {
    return (struct virgl_resource_create_args){
        .handle = resource->resource_id,
        .target = resource->target,
        .format = resource->format,
        .bind = resource->bind,
        .width = resource->width,
        .height = resource->height,
        .depth = resource->depth,
        .array_size = resource->array_size,
        .last_level = resource->last_level,
        .nr_samples = resource->nr_samples,
        .flags = resource->flags & VIRGL_RESOURCE_Y_0_TOP,
    };
}

uint64_t resource_3d_bytes(const struct resource_3d *resource) {
    struct virgl_resource_create_args args = args_of(resource);

    return virgl_resource_bytes(&args);
}

int resource_create_3d(struct device *device, const struct resource_3d *created) {
    struct virgl_resource_create_args args = args_of(created);
    struct resource *resource;
    int error;

    if (args.handle == 0 || args.target >= VIRGL_TARGETS)
        return -EINVAL;
    if (resource_table_find(&device->resources, args.handle) != NULL)
        return -EEXIST;
    if (device->resources.count >= device->limits.resources)
        return -ENOMEM;
    resource = calloc(1, sizeof(*resource));
    if (resource == NULL)
        return -ENOMEM;
    *resource = (struct resource){.resource_id = args.handle, .format = args.format};
    error = create_in_library(device, resource, &args);
    if (error < 0)
        free(resource);
    else
        resource_table_insert(&device->resources, resource);
    return error;
}

void virgl_resource_destroy(struct device *device, struct resource *resource) {
    if (resource->virgl == NULL)
        return;
    api_of(device)->resource_unref(resource->resource_id);
    images_give(device, resource->virgl->bytes);
    free(resource->virgl->iov);
    free(resource->virgl);
    resource->virgl = NULL;
}

/* --- backing */

void virgl_resource_backing_changed(struct device *device, struct resource *resource) {
    struct virgl_resource *virgl = resource->virgl;
    uint32_t count;

    if (virgl == NULL)
        return;
    if (virgl->iov != NULL) {
        api_of(device)->resource_detach_iov((int)resource->resource_id, NULL, NULL);
        free(virgl->iov);
        virgl->iov = NULL;
    }
    if (resource->backing == NULL)
        return;
    virgl->iov = backing_iov(resource->backing, &count);
    if (virgl->iov != NULL)
        api_of(device)->resource_attach_iov((int)resource->resource_id, virgl->iov, (int)count);
}

/* --- 2D resources */

/* An image is B, G, R, A; for these formats the same exchange of bytes leads back. */
static bool converts_back(uint32_t format) {
    return format == VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM ||
           format == VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM ||
           format == VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM ||
           format == VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM ||
           format == VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM || format == VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM;
}

/* Gives the library the pixels that the image has. */
static int upload(struct device *device, struct resource *resource) {
    const struct canvas *canvas = resource->canvas;
    uint64_t bytes = canvas_stride(canvas) * canvas->height;
    struct virgl_box box = {.w = canvas->width, .h = canvas->height, .d = 1};
    uint8_t *pixels = malloc(bytes);
    struct iovec iov = {pixels, bytes};
    int error;

    if (pixels == NULL)
        return -ENOMEM;
    resource->convert(pixels, canvas_pixels(canvas, canvas->slot), bytes / IMAGE_PIXEL_BYTES);
    error = api_of(device)->transfer_write_iov(
        resource->resource_id, 0, 0, (uint32_t)canvas_stride(canvas), 0, &box, 0, &iov, 1);
    free(pixels);
    return error != 0 ? -EIO : 0;
}

int virgl_resource_promote(struct device *device, struct resource *resource) {
    struct virgl_resource_create_args args;
    int error;

    if (resource->virgl != NULL)
        return 0;
    if (!converts_back(resource->format))
        return -EINVAL;
    args = (struct virgl_resource_create_args){
        .handle = resource->resource_id,
        .target = VIRGL_TARGET_2D,
        .format = resource->format,
        .bind = VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SAMPLER_VIEW,
        .width = resource->canvas->width,
        .height = resource->canvas->height,
        .depth = 1,
        .array_size = 1,
        .flags = VIRGL_RESOURCE_Y_0_TOP,
    };
    error = create_in_library(device, resource, &args);
    if (error < 0)
        return error;
    error = upload(device, resource);
    if (error < 0)
        virgl_resource_destroy(device, resource);
    else
        virgl_resource_backing_changed(device, resource);
    return error;
}

/* --- showing */

/* The format without its transfer function, which the display does not know of. */
static uint32_t linear_format(uint32_t format) {
    static const uint32_t pairs[][2] = {
        {98, VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM},  {99, VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM},
        {100, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM}, {101, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM},
        {102, VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM}, {103, VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM},
        {104, VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM}, {230, VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i][0] == format)
            return pairs[i][1];
    return format;
}

int virgl_resource_make_canvas(struct device *device, struct resource *resource) {
    const struct virgl_resource_create_args *args;
    format_convert convert = format_converter(linear_format(resource->format));

    if (resource->canvas != NULL)
        return 0;
    args = &resource->virgl->args;
    if (convert == NULL || args->target != VIRGL_TARGET_2D || args->nr_samples > 1 ||
        args->width > IMAGE_SIDE_MAX || args->height > IMAGE_SIDE_MAX)
        return -EINVAL;
    if (!images_fit(device, args->width, args->height))
        return -ENOMEM;
    resource->canvas = canvas_new(++device->next_image_id, args->width, args->height);
    if (resource->canvas == NULL)
        return -errno;
    resource->convert = convert;
    images_add(device, resource);
    return 0;
}

/* Rows come as the guest counts them, whichever way up the library keeps them. */
static int read(struct device *device, const struct resource *resource,
                const struct rectangle *rectangle, uint64_t stride, struct iovec *iov) {
    struct virgl_box box = {.x = rectangle->x,
                            .y = rectangle->y,
                            .w = rectangle->width,
                            .h = rectangle->height,
                            .d = 1};

    return api_of(device)->transfer_read_iov(resource->resource_id, 0, 0, (uint32_t)stride, 0, &box,
                                             0, iov, 1);
}

static bool is_plain(const struct resource *resource) {
    uint32_t format = linear_format(resource->format);

    return format == VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM || format == VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM;
}

/* Small enough to be in the cache still when it is converted, by us or, from OpenGL ES, by the
 * library. */
enum { BAND_BYTES = 512 << 10, PLAIN_BAND_BYTES = 2 << 20 };

static uint32_t rows_of(const struct rectangle *rectangle, uint64_t band_bytes) {
    uint64_t row = image_stride(rectangle->width);

    return row < band_bytes ? (uint32_t)(band_bytes / row) : 1;
}

static int read_plain(struct device *device, const struct resource *resource,
                      const struct rectangle *rectangle, uint8_t *to) {
    uint64_t stride = canvas_stride(resource->canvas);
    uint32_t rows = rows_of(rectangle, PLAIN_BAND_BYTES);
    struct rectangle band = *rectangle;
    int error = 0;

    for (uint32_t y = 0; error == 0 && y < rectangle->height; y += rows) {
        struct iovec iov;
        band.y = rectangle->y + y;
        band.height = smaller_u32(rows, rectangle->height - y);
        iov =
            (struct iovec){to + y * stride, stride * (band.height - 1) + image_stride(band.width)};
        error = read(device, resource, &band, stride, &iov);
    }
    return error;
}

static int read_band(struct device *device, const struct resource *resource,
                     const struct rectangle *band, uint8_t *to) {
    uint8_t *scratch = device->virgl->scratch;
    uint64_t row = image_stride(band->width);
    struct iovec iov = {scratch, row * band->height};
    int error = read(device, resource, band, row, &iov);

    for (uint32_t y = 0; error == 0 && y < band->height; y++)
        resource->convert(to + y * canvas_stride(resource->canvas), scratch + y * row, band->width);
    return error;
}

static int read_converted(struct device *device, const struct resource *resource,
                          const struct rectangle *rectangle, uint8_t *to) {
    struct virgl_device *virgl = device->virgl;
    uint32_t rows = rows_of(rectangle, BAND_BYTES);
    struct rectangle band = *rectangle;
    int error = 0;

    if (!scratch_make_room(&virgl->scratch, &virgl->scratch_room,
                           image_stride(rectangle->width) * rows))
        return -ENOMEM;
    for (uint32_t y = 0; error == 0 && y < rectangle->height; y += rows) {
        band.y = rectangle->y + y;
        band.height = smaller_u32(rows, rectangle->height - y);
        error = read_band(device, resource, &band, to + y * canvas_stride(resource->canvas));
    }
    return error;
}

int virgl_resource_read_back(struct device *device, struct resource *resource,
                             const struct rectangle *rectangle) {
    struct canvas *canvas = resource->canvas;
    uint64_t stride = canvas_stride(canvas);
    uint64_t offset = rectangle->y * stride + (uint64_t)rectangle->x * IMAGE_PIXEL_BYTES;
    uint8_t *to;

    if (canvas_held(canvas))
        channel_receive(&device->channel); /* it may have been released meanwhile */
    canvas_begin_write(canvas, rectangle);
    to = canvas_pixels(canvas, canvas->slot) + offset;
    if (is_plain(resource))
        return read_plain(device, resource, rectangle, to);
    return read_converted(device, resource, rectangle, to);
}
