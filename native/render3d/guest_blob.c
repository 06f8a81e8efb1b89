/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/guest_blob.h"

#include <errno.h>
#include <stdlib.h>

#include "device/resource.h"
#include "device/resource_kind.h"
#include "render3d/render3d.h"
#include "render3d/texture.h"

static void destroy(struct device *device, struct resource *resource) {
    library_of(device)->operations->resource_unref(library_of(device), resource->resource_id);
    free(resource->texture->iov);
    free(resource->texture);
    resource->texture = NULL;
}

/* It stays a guest blob in how it is shown and copied. */
static const struct resource_kind *known_kind(const struct resource_kind *guest_blob) {
    static struct resource_kind known;

    known = *guest_blob;
    known.backing_changed = texture_backing_changed;
    known.destroy = destroy;
    return &known;
}

static int create_in_library(struct device *device, const struct resource *resource,
                             struct texture *part, uint32_t ctx_id) {
    const struct host_blob blob = {.resource_id = resource->resource_id,
                                   .ctx_id = ctx_id,
                                   .blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST,
                                   .blob_flags = VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE,
                                   .size = resource->blob_bytes};
    uint32_t count;

    part->iov = backing_iov(resource->backing, &count);
    if (part->iov == NULL)
        return -ENOMEM;
    return library_of(device)->operations->guest_blob_create(library_of(device), &blob, part->iov,
                                                             count);
}

int guest_blob_promote(struct device *device, struct resource *resource, uint32_t ctx_id) {
    struct texture *part;
    int error;

    if (resource->texture != NULL)
        return 0;
    if (library_of(device)->operations->guest_blob_create == NULL || resource->backing == NULL)
        return -EINVAL;
    part = calloc(1, sizeof(*part));
    if (part == NULL)
        return -ENOMEM;
    part->created = (struct resource_3d){
        .resource_id = resource->resource_id, .target = PIPE_BUFFER, .depth = 1, .array_size = 1};
    error = create_in_library(device, resource, part, ctx_id);
    if (error != 0) {
        free(part->iov);
        free(part);
        return error;
    }
    resource->texture = part;
    resource->kind = known_kind(resource->kind);
    return 0;
}
