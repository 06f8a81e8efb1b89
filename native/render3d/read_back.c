/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/read_back.h"

#include <errno.h>

#include "device/images.h"
#include "render3d/render3d.h"

uint32_t read_back_format(uint32_t format) {
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

int read_back_begin(struct device *device, struct resource *resource) {
    const struct resource_3d *created = &resource->texture->created;
    format_convert convert = format_converter(read_back_format(resource->format));

    if (convert == NULL || created->target != PIPE_TEXTURE_2D || created->nr_samples > 1 ||
        created->width > IMAGE_SIDE_MAX || created->height > IMAGE_SIDE_MAX)
        return -EINVAL;
    if (!images_fit(device, created->width, created->height))
        return -ENOMEM;
    resource->canvas = canvas_new(++device->next_image_id, created->width, created->height);
    if (resource->canvas == NULL)
        return -errno;
    resource->convert = convert;
    images_add(device, resource);
    return 0;
}

/* Where rows go to. */
struct rows_to {
    const struct resource *texture;
    format_convert convert; /* from the texture's format */
    uint8_t *pixels;
    uint64_t stride;
};

/* Rows come in the guest's order, whichever way up the library keeps them. */
static int read(struct device *device, const struct resource *texture,
                const struct rectangle *rectangle, uint64_t stride, struct iovec *iov) {
    const struct gpu_transfer transfer = {.resource = &texture->texture->created,
                                          .stride = (uint32_t)stride,
                                          .box = {.x = rectangle->x,
                                                  .y = rectangle->y,
                                                  .w = rectangle->width,
                                                  .h = rectangle->height,
                                                  .d = 1},
                                          .backing_bytes = texture_backing_bytes(texture),
                                          .iov = iov,
                                          .iov_count = 1};

    return library_of(device)->operations->transfer_from_host(library_of(device), &transfer);
}

static bool is_plain(uint32_t format) {
    format = read_back_format(format);
    return format == VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM || format == VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM;
}

/* Small enough to be still in the cache when it is converted, by us or, with OpenGL ES, by the
 * library. */
enum { BAND_BYTES = 512 << 10, PLAIN_BAND_BYTES = 2 << 20 };

static uint32_t rows_of(struct device *device, const struct rectangle *rectangle,
                        uint64_t band_bytes) {
    uint64_t row = image_stride(rectangle->width);

    if (library_of(device)->reads_whole)
        return rectangle->height;
    return row < band_bytes ? (uint32_t)(band_bytes / row) : 1;
}

static int read_plain(struct device *device, const struct rectangle *rectangle,
                      const struct rows_to *to) {
    uint32_t rows = rows_of(device, rectangle, PLAIN_BAND_BYTES);
    struct rectangle band = *rectangle;
    int error = 0;

    for (uint32_t y = 0; error == 0 && y < rectangle->height; y += rows) {
        struct iovec iov;
        band.y = rectangle->y + y;
        band.height = smaller_u32(rows, rectangle->height - y);
        iov = (struct iovec){to->pixels + y * to->stride,
                             to->stride * (band.height - 1) + image_stride(band.width)};
        error = read(device, to->texture, &band, to->stride, &iov);
    }
    return error;
}

static int read_band(struct device *device, const struct rectangle *band, const struct rows_to *to,
                     uint32_t first) {
    uint8_t *scratch = device->render3d->pixels.bytes;
    uint64_t row = image_stride(band->width);
    struct iovec iov = {scratch, row * band->height};
    int error = read(device, to->texture, band, row, &iov);

    for (uint32_t y = 0; error == 0 && y < band->height; y++)
        to->convert(to->pixels + (first + y) * to->stride, scratch + y * row, band->width);
    return error;
}

static int read_converted(struct device *device, const struct rectangle *rectangle,
                          const struct rows_to *to) {
    uint32_t rows = rows_of(device, rectangle, BAND_BYTES);
    struct rectangle band = *rectangle;
    int error = 0;

    if (!scratch_make_room(&device->render3d->pixels, image_stride(rectangle->width) * rows))
        return -ENOMEM;
    for (uint32_t y = 0; error == 0 && y < rectangle->height; y += rows) {
        band.y = rectangle->y + y;
        band.height = smaller_u32(rows, rectangle->height - y);
        error = read_band(device, &band, to, y);
    }
    return error;
}

int read_back_rows(struct device *device, const struct resource *texture,
                   const struct rectangle *rectangle, uint8_t *to, uint64_t stride) {
    uint32_t format = texture->texture->created.format;
    const struct rows_to rows = {.texture = texture,
                                 .convert = format_converter(read_back_format(format)),
                                 .pixels = to,
                                 .stride = stride};

    if (is_plain(format))
        return read_plain(device, rectangle, &rows);
    return read_converted(device, rectangle, &rows);
}

int read_back(struct device *device, struct resource *resource, const struct rectangle *rectangle) {
    struct canvas *canvas = resource->canvas;
    uint64_t stride = canvas_stride(canvas);
    uint64_t offset = rectangle->y * stride + (uint64_t)rectangle->x * IMAGE_PIXEL_BYTES;

    if (canvas_held(canvas))
        channel_receive(&device->channel); /* it may have been released meanwhile */
    canvas_begin_write(canvas, rectangle);
    return read_back_rows(device, resource, rectangle, canvas_pixels(canvas, canvas->slot) + offset,
                          stride);
}
