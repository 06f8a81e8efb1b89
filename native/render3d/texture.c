/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/texture.h"

#include <errno.h>
#include <stdlib.h>

#include "device/burst.h"
#include "device/image_resource.h"
#include "device/images.h"
#include "device/rectangle_of.h"
#include "device/resource.h"
#include "device/scanout.h"
#include "render3d/export.h"
#include "render3d/read_back.h"
#include "render3d/render3d.h"
#include "render3d/resource_size.h"

/* --- in the library */

static int create_in_library(struct device *device, struct resource *resource,
                             const struct resource_3d *created) {
    uint64_t bytes = resource_3d_bytes(created);
    struct texture *texture;

    if (library_of(device)->operations->resource_create == NULL)
        return -EINVAL;
    if (!images_make_room(device, bytes))
        return -ENOMEM;
    texture = calloc(1, sizeof(*texture));
    if (texture == NULL)
        return -ENOMEM;
    *texture = (struct texture){.created = *created, .bytes = bytes};
    if (library_of(device)->operations->resource_create(library_of(device), created) != 0) {
        free(texture);
        return -EINVAL;
    }
    images_take(device, bytes);
    resource->texture = texture;
    return 0;
}

static void destroy_in_library(struct device *device, struct resource *resource) {
    library_of(device)->operations->resource_unref(library_of(device), resource->resource_id);
    images_give(device, resource->texture->bytes);
    free(resource->texture->iov);
    free(resource->texture);
    resource->texture = NULL;
}

/* --- the kind */

static void destroy(struct device *device, struct resource *resource) {
    export_close(device, resource);
    if (resource->texture != NULL)
        destroy_in_library(device, resource);
}

void texture_backing_changed(struct device *device, struct resource *resource) {
    const struct gpu_operations *operations = library_of(device)->operations;
    struct texture *texture = resource->texture;
    uint32_t count;

    if (texture == NULL)
        return;
    if (texture->iov != NULL) {
        operations->detach_backing(library_of(device), resource->resource_id);
        free(texture->iov);
        texture->iov = NULL;
    }
    if (resource->backing == NULL)
        return;
    texture->iov = backing_iov(resource->backing, &count);
    if (texture->iov != NULL)
        operations->attach_backing(library_of(device), resource->resource_id, texture->iov, count);
}

static int make_image(struct device *device, struct resource *resource) {
    int error;

    if (resource->canvas != NULL)
        return 0;
    error = read_back_begin(device, resource);
    if (error == 0)
        export_take(device, resource);
    return error;
}

/* A cursor is shown from its image, even if a context may use it. */
static bool is_cursor(const struct resource *resource) {
    return resource->canvas != NULL && resource->canvas->width <= 64 &&
           resource->canvas->height <= 64;
}

static uint32_t transfer_to_host(struct device *device, struct resource *resource,
                                 const struct virtio_gpu_transfer_to_host_2d *command) {
    const struct gpu_transfer transfer = {.resource = &resource->texture->created,
                                          .box = {.x = command->r.x,
                                                  .y = command->r.y,
                                                  .w = command->r.width,
                                                  .h = command->r.height,
                                                  .d = 1},
                                          .offset = command->offset,
                                          .backing_bytes = texture_backing_bytes(resource)};

    if (is_cursor(resource)) {
        uint32_t type = image_transfer_to_host(device, resource, command);
        if (type != VIRTIO_GPU_RESP_OK_NODATA)
            return type;
    }
    if (resource->texture->iov == NULL)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    device->render3d->drawing = true;
    device->state->counters.transfers++;
    return library_of(device)->operations->transfer_to_host(library_of(device), &transfer) == 0
               ? VIRTIO_GPU_RESP_OK_NODATA
               : VIRTIO_GPU_RESP_ERR_UNSPEC;
}

/* The part that scanouts show as pixels, as one rectangle. */
static struct rectangle shown_of(const struct device *device, const struct resource *resource) {
    struct rectangle shown = {0};

    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++) {
        const struct scanout *scanout = &device->scanouts[scanout_id];
        if (scanout->surface.resource == resource && !scanout_by_buffer(scanout))
            shown = rectangle_around(&shown, &scanout->surface.shown);
    }
    return shown;
}

/* Reads back for those scanouts that show it as pixels. */
static uint32_t flush(struct device *device, struct resource *resource,
                      const struct rectangle *rectangle) {
    const struct resource_3d *created = &resource->texture->created;
    struct rectangle seen;

    if (!rectangle_within(rectangle, created->width, created->height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (!resource->shown)
        return VIRTIO_GPU_RESP_OK_NODATA;
    if (resource->exported != NULL)
        export_finish(device);
    seen = shown_of(device, resource);
    /* While it was shown from a DMA buffer, nothing was read back. */
    if (resource->exported == NULL)
        seen = rectangle_common(rectangle, &seen);
    if (rectangle_empty(&seen) || !device->draws)
        return VIRTIO_GPU_RESP_OK_NODATA;
    burst_expect_copy(device, image_stride(seen.width) * seen.height);
    return read_back(device, resource, &seen) == 0 ? VIRTIO_GPU_RESP_OK_NODATA
                                                   : VIRTIO_GPU_RESP_ERR_UNSPEC;
}

static const struct resource_kind TEXTURE = {
    .number = RESOURCE_TEXTURE,
    .make_image = make_image,
    .transfer_to_host = transfer_to_host,
    .flush = flush,
    .read_back = read_back,
    .backing_changed = texture_backing_changed,
    .destroy = destroy,
};

/* --- creation */

int resource_create_3d(struct device *device, const struct resource_3d *created) {
    struct resource_3d wanted = *created;
    struct resource *resource;
    int error = resource_check_new(device, wanted.resource_id);

    if (device->render3d == NULL)
        return -ENOSYS;
    if (error < 0)
        return error;
    if (wanted.target >= PIPE_TARGETS)
        return -EINVAL;
    resource = resource_new(device, &TEXTURE, wanted.resource_id, wanted.format);
    if (resource == NULL)
        return -ENOMEM;
    /* The only flag that a guest may set: others reach code that cannot be trusted without a GPU.
     **/
    wanted.flags &= VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP;
    error = create_in_library(device, resource, &wanted);
    if (error < 0)
        resource_destroy(device, resource);
    return error;
}

/* --- of an image */

/* An image is B, G, R, A; for these formats the same conversion also converts back. */
static bool converts_back(uint32_t format) {
    return format == VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM ||
           format == VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM ||
           format == VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM ||
           format == VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM ||
           format == VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM || format == VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM;
}

/* Gives the image's pixels to the library. */
static int upload(struct device *device, struct resource *resource) {
    const struct canvas *canvas = resource->canvas;
    uint64_t bytes = canvas_stride(canvas) * canvas->height;
    uint8_t *pixels = malloc(bytes);
    struct iovec iov = {pixels, bytes};
    const struct gpu_transfer transfer = {.resource = &resource->texture->created,
                                          .stride = (uint32_t)canvas_stride(canvas),
                                          .box = {.w = canvas->width, .h = canvas->height, .d = 1},
                                          .iov = &iov,
                                          .iov_count = 1};
    int error;

    if (pixels == NULL)
        return -ENOMEM;
    resource->convert(pixels, canvas_pixels(canvas, canvas->slot), bytes / IMAGE_PIXEL_BYTES);
    error = library_of(device)->operations->transfer_to_host(library_of(device), &transfer);
    free(pixels);
    return error != 0 ? -EIO : 0;
}

int texture_promote(struct device *device, struct resource *resource) {
    struct resource_3d created;
    int error;

    if (resource->kind->number == RESOURCE_BLOB)
        return -EINVAL;
    if (resource->texture != NULL)
        return 0;
    if (resource->kind->number != RESOURCE_IMAGE || !converts_back(resource->format))
        return -EINVAL;
    created = (struct resource_3d){
        .resource_id = resource->resource_id,
        .target = PIPE_TEXTURE_2D,
        .format = resource->format,
        .bind = PIPE_BIND_RENDER_TARGET | PIPE_BIND_SAMPLER_VIEW,
        .width = resource->canvas->width,
        .height = resource->canvas->height,
        .depth = 1,
        .array_size = 1,
        .flags = VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP,
    };
    error = create_in_library(device, resource, &created);
    if (error < 0)
        return error;
    error = upload(device, resource);
    if (error < 0) {
        destroy_in_library(device, resource);
        return error;
    }
    resource->kind = &TEXTURE;
    texture_backing_changed(device, resource);
    return 0;
}
