/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/host_blob.h"

#include <errno.h>
#include <stdlib.h>

#include "device/blob_pictures.h"
#include "device/images.h"
#include "device/resource.h"
#include "render3d/render3d.h"
#include "render3d/texture.h"

static bool exist(const struct device *device) {
    const struct gpu_operations *operations;

    if (device->render3d == NULL)
        return false;
    operations = library_of(device)->operations;
    return operations->blob_create != NULL && operations->blob_export != NULL;
}

int device_has_host_blobs(struct device *device) {
    return exist(device);
}

/* --- the kind */

static void destroy(struct device *device, struct resource *resource) {
    struct texture *part = resource->texture;

    if (part == NULL)
        return;
    library_of(device)->operations->resource_unref(library_of(device), resource->resource_id);
    blob_pixels_close(device, &part->pixels);
    device->render3d->blob_bytes -= part->bytes;
    images_give_descriptor(device);
    free(part->iov);
    free(part);
    resource->texture = NULL;
}

/* Refused: SET_SCANOUT does not say where a blob's pixels are. */
static int make_image(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
    return -EINVAL;
}

/* Refused: only contexts draw into it, with TRANSFER_TO_HOST_3D. */
static uint32_t transfer_to_host(struct device *device, struct resource *resource,
                                 const struct virtio_gpu_transfer_to_host_2d *command) {
    (void)device;
    (void)resource;
    (void)command;
    return VIRTIO_GPU_RESP_ERR_UNSPEC;
}

static int make_surface(struct device *device, struct resource *resource,
                        const struct layout *layout) {
    return resource->texture != NULL ? blob_pixels_open(device, resource, layout) : -EIO;
}

static int copy_pixels(struct device *device, const struct surface *surface,
                       const struct rectangle *rectangle, uint8_t *to, uint64_t stride) {
    if (surface->resource->texture == NULL)
        return -EIO;
    return blob_pixels_copy(device, surface, rectangle, to, stride);
}

static uint32_t flush(struct device *device, struct resource *resource,
                      const struct rectangle *rectangle) {
    if (resource->texture == NULL && rectangle_bounded(rectangle))
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    return blob_pictures_flush(device, resource, rectangle);
}

static const struct resource_kind HOST_BLOB = {
    .number = RESOURCE_HOST_BLOB,
    .make_image = make_image,
    .transfer_to_host = transfer_to_host,
    .flush = flush,
    .read_back = blob_pictures_fill,
    .make_surface = make_surface,
    .copy_pixels = copy_pixels,
    .may_be_lost = true,
    .backing_changed = texture_backing_changed,
    .destroy = destroy,
};

/* --- creation */

static bool room_left(struct device *device, uint64_t bytes) {
    uint64_t taken = device->render3d->blob_bytes, most = device->limits.blob_bytes;

    return taken <= most && bytes <= most - taken && images_descriptor_left(device);
}

/* Checks what the guest asks for; 0, or why not. */
static int check(struct device *device, const struct host_blob *blob, uint32_t nr_entries) {
    int error = resource_check_new(device, blob->resource_id);
    bool shared = blob->blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST;

    if (error < 0)
        return error;
    if (blob->size == 0 || (!shared && blob->blob_mem != VIRTIO_GPU_BLOB_MEM_HOST3D) ||
        shared != (nr_entries > 0))
        return -EINVAL;
    if (context_find(device->render3d, blob->ctx_id) == NULL)
        return -ESRCH;
    return room_left(device, blob->size) ? 0 : -ENOMEM;
}

/* Creates it with its backing. */
static int create_in_library(struct device *device, struct resource *resource,
                             const struct host_blob *blob) {
    struct texture *part = calloc(1, sizeof(*part));
    uint32_t count = 0;
    int error;

    if (part == NULL)
        return -ENOMEM;
    part->created = (struct resource_3d){
        .resource_id = blob->resource_id, .target = PIPE_BUFFER, .depth = 1, .array_size = 1};
    part->bytes = blob->size;
    part->flags = blob->blob_flags;
    if (resource->backing != NULL)
        part->iov = backing_iov(resource->backing, &count);
    error = resource->backing != NULL && part->iov == NULL
                ? -ENOMEM
                : library_of(device)->operations->blob_create(library_of(device), blob, part->iov,
                                                              count);
    if (error != 0) {
        free(part->iov);
        free(part);
        return error == -ENOMEM || error == -EMFILE ? -ENOMEM : -EINVAL;
    }
    device->render3d->blob_bytes += part->bytes;
    images_take_descriptor(device);
    resource->texture = part;
    return 0;
}

/* The backing first, since the library takes it with the blob. */
static int fill(struct device *device, struct resource *resource, const struct host_blob *blob,
                const uint8_t *entries, uint32_t nr_entries) {
    int error = 0;

    if (nr_entries > 0)
        error = resource_attach_backing(device, blob->resource_id, entries, nr_entries);
    return error < 0 ? error : create_in_library(device, resource, blob);
}

static struct resource *new_blob(struct device *device, uint32_t resource_id, uint64_t size) {
    struct resource *resource = resource_new(device, &HOST_BLOB, resource_id, 0);

    if (resource != NULL)
        resource->blob_bytes = size;
    return resource;
}

int resource_create_host_blob(struct device *device, const struct host_blob *blob,
                              const uint8_t *entries, uint32_t nr_entries) {
    struct resource *resource;
    int error;

    if (!exist(device))
        return -EINVAL;
    error = check(device, blob, nr_entries);
    if (error < 0)
        return error;
    resource = new_blob(device, blob->resource_id, blob->size);
    if (resource == NULL)
        return -ENOMEM;
    error = fill(device, resource, blob, entries, nr_entries);
    if (error < 0)
        resource_destroy(device, resource);
    return error;
}

int resource_adopt_host_blob(struct device *device, uint32_t resource_id, uint64_t size) {
    int error = resource_check_new(device, resource_id);

    if (error < 0)
        return error;
    return new_blob(device, resource_id, size) != NULL ? 0 : -ENOMEM;
}
