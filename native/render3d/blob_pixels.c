/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/blob_pixels.h"

#include <errno.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/images.h"
#include "device/surface.h"
#include "render3d/blob_file.h"
#include "render3d/read_back.h"
#include "render3d/render3d.h"
#include "shared/format.h"

static bool is_texture(const struct texture *part) {
    return part->created.target == PIPE_TEXTURE_2D;
}

/* --- a texture: stride and offset are only for those who map it */

static bool same_picture(const struct resource_3d *texture, const struct layout *layout) {
    return texture->width == layout->width && texture->height == layout->height &&
           read_back_format(texture->format) == read_back_format(layout->format);
}

/* Whether the library says that it is a texture that can be shown: an OpenGL buffer looks like a
 * texture of one row, in a format that images do not have. */
static bool find_texture(struct device *device, struct resource *resource) {
    const struct gpu_operations *operations = library_of(device)->operations;
    struct resource_3d found = {.resource_id = resource->resource_id};

    if (operations->blob_texture == NULL ||
        operations->blob_texture(library_of(device), resource->resource_id, &found) != 0 ||
        format_converter(read_back_format(found.format)) == NULL)
        return false;
    resource->texture->created = found;
    return true;
}

/* --- memory */

/* The mapping of a memory file no longer needs the descriptor; that of a DMA buffer does. */
static int keep(struct device *device, struct blob_pixels *pixels, const struct blob_file *file) {
    if (!file->dmabuf) {
        close(file->fd);
        return 0;
    }
    if (!images_descriptor_left(device))
        return -ENOMEM;
    images_take_descriptor(device);
    pixels->dmabuf = file->fd;
    pixels->held = true;
    return 0;
}

static int map(struct device *device, struct blob_pixels *pixels, const struct blob_file *file) {
    void *mapped = MAP_FAILED;

    if (file->length <= SIZE_MAX)
        mapped = mmap(NULL, file->length, PROT_READ, MAP_SHARED, file->fd, (off_t)file->offset);
    if (mapped == MAP_FAILED)
        return -EOPNOTSUPP;
    if (keep(device, pixels, file) < 0) {
        munmap(mapped, file->length);
        return -ENOMEM;
    }
    pixels->mapped = mapped;
    pixels->length = file->length;
    return 0;
}

static int open_file(struct device *device, struct resource *resource) {
    struct blob_file file;
    int error = blob_file_open(device, resource, &file);

    if (error < 0)
        return error;
    error = map(device, &resource->texture->pixels, &file);
    if (error < 0)
        close(file.fd);
    return error;
}

int blob_pixels_open(struct device *device, struct resource *resource,
                     const struct layout *layout) {
    struct texture *part = resource->texture;

    if (is_texture(part) || (part->pixels.mapped == NULL && find_texture(device, resource)))
        return same_picture(&part->created, layout) ? 0 : -EINVAL;
    return part->pixels.mapped != NULL ? 0 : open_file(device, resource);
}

void blob_pixels_close(struct device *device, struct blob_pixels *pixels) {
    if (pixels->mapped != NULL)
        munmap((void *)(uintptr_t)pixels->mapped, pixels->length);
    if (pixels->held) {
        close(pixels->dmabuf);
        images_give_descriptor(device);
    }
    *pixels = (struct blob_pixels){0};
}

/* --- copying */

/* The kernel waits for whatever draws there, and makes the caches agree. */
static void tell_kernel(const struct blob_pixels *pixels, uint64_t which) {
    struct dma_buf_sync sync = {.flags = which | DMA_BUF_SYNC_READ};

    if (pixels->held)
        (void)ioctl(pixels->dmabuf, DMA_BUF_IOCTL_SYNC, &sync);
}

static void copy_mapped(const struct blob_pixels *pixels, const struct layout *layout,
                        const struct rectangle *rectangle, uint8_t *to, uint64_t stride) {
    format_convert convert = format_converter(layout->format);
    const uint8_t *from = pixels->mapped + layout_position(layout, rectangle->x, rectangle->y);

    tell_kernel(pixels, DMA_BUF_SYNC_START);
    for (uint32_t y = 0; y < rectangle->height; y++, to += stride, from += layout->stride)
        convert(to, from, rectangle->width);
    tell_kernel(pixels, DMA_BUF_SYNC_END);
}

int blob_pixels_copy(struct device *device, const struct surface *surface,
                     const struct rectangle *rectangle, uint8_t *to, uint64_t stride) {
    const struct texture *part = surface->resource->texture;

    if (is_texture(part))
        return read_back_rows(device, surface->resource, rectangle, to, stride);
    copy_mapped(&part->pixels, &surface->layout, rectangle, to, stride);
    return 0;
}
