/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "rutabaga/operations.h"

#include <errno.h>
#include <stdlib.h>

#include "rutabaga/blob.h"
#include "rutabaga/cross_domain.h"
#include "rutabaga/numbers.h"
#include "rutabaga/transfer.h"

/* Does not finish the library: a second start in a process fails, and a library that draws leaves
 * threads behind.  The process is about to end. */
static void close_library(struct gpu_library *library) {
    rutabaga_blobs_forget(library);
}

static void begin(struct gpu_library *library) {
    (void)library;
}

/* --- capability sets */

static int capset_size(struct gpu_library *library, uint32_t capset_id, uint32_t *max_version) {
    struct rutabaga_started *started = started_of(library);
    uint32_t count = 0;

    started->api.get_num_capsets(started->handle, &count);
    for (uint32_t index = 0; index < count; index++) {
        uint32_t found = 0, size = 0;
        if (started->api.get_capset_info(started->handle, index, &found, max_version, &size) == 0 &&
            found == capset_id && size <= INT32_MAX)
            return (int)size;
    }
    return -ENOENT;
}

/* The library copies as much as it is told, whatever there is. */
static void capset_fill(struct gpu_library *library, uint32_t capset_id, uint32_t version,
                        uint8_t *data) {
    struct rutabaga_started *started = started_of(library);
    uint32_t max_version;
    int size = capset_size(library, capset_id, &max_version);

    if (size > 0)
        started->api.get_capset(started->handle, capset_id, version, data, (uint32_t)size);
}

/* --- resources */

static int resource_create(struct gpu_library *library, const struct resource_3d *resource) {
    struct rutabaga_started *started = started_of(library);
    const struct rutabaga_resource_args args = {
        .target = resource->target,
        .format = resource->format,
        .bind = resource->bind,
        .width = resource->width,
        .height = resource->height,
        .depth = resource->depth,
        .array_size = resource->array_size,
        .last_level = resource->last_level,
        .nr_samples = resource->nr_samples,
        .flags = resource->flags,
    };

    return started->api.resource_create_3d(started->handle, resource->resource_id, &args);
}

static void resource_unref(struct gpu_library *library, uint32_t resource_id) {
    struct rutabaga_started *started = started_of(library);

    rutabaga_blob_forget(library, resource_id);
    started->api.resource_unref(started->handle, resource_id);
}

static void detach_backing(struct gpu_library *library, uint32_t resource_id) {
    rutabaga_blob_moved(library, resource_id, NULL, 0);
}

/* --- contexts */

/* Without a set the library takes the one that it was started for. */
static bool is_cross_domain(const struct rutabaga_started *started, uint32_t context_init) {
    uint32_t capset_id = context_init & RUTABAGA_CAPSET_MASK;
    uint64_t only = (uint64_t)1 << RUTABAGA_CROSS_DOMAIN;

    return capset_id == RUTABAGA_CROSS_DOMAIN || (capset_id == 0 && started->capset_mask == only);
}

static int context_create(struct gpu_library *library, uint32_t ctx_id, uint32_t context_init,
                          const char *name, uint32_t length) {
    struct rutabaga_started *started = started_of(library);
    int error = started->api.context_create(started->handle, ctx_id, context_init, name, length);

    if (error != 0 || !is_cross_domain(started, context_init))
        return error;
    if (numbers_add(&started->cross_domain, &started->cross_domain_count,
                    &started->cross_domain_room, ctx_id))
        return 0;
    started->api.context_destroy(started->handle, ctx_id);
    return -ENOMEM;
}

static void context_destroy(struct gpu_library *library, uint32_t ctx_id) {
    struct rutabaga_started *started = started_of(library);

    rutabaga_blobs_leave(library, ctx_id);
    numbers_remove(started->cross_domain, &started->cross_domain_count, ctx_id);
    started->api.context_destroy(started->handle, ctx_id);
}

static void context_attach(struct gpu_library *library, uint32_t ctx_id, uint32_t resource_id) {
    rutabaga_blob_attached(library, resource_id, ctx_id);
}

static void context_detach(struct gpu_library *library, uint32_t ctx_id, uint32_t resource_id) {
    rutabaga_blob_detached(library, resource_id, ctx_id);
}

static int submit(struct gpu_library *library, uint32_t ctx_id, uint8_t *stream, uint64_t bytes) {
    static const uint64_t none;
    struct rutabaga_started *started = started_of(library);
    const struct rutabaga_command command = {
        .ctx_id = ctx_id, .bytes = (uint32_t)bytes, .stream = stream, .in_fence_ids = &none};

    if (numbers_have(started->cross_domain, started->cross_domain_count, ctx_id) &&
        !cross_domain_ends(stream, bytes))
        return -EINVAL;
    return started->api.submit_command(started->handle, &command);
}

/* --- fences */

static int create_fence(struct gpu_library *library, uint32_t fence) {
    struct rutabaga_started *started = started_of(library);
    const struct rutabaga_fence wanted = {.flags = RUTABAGA_FENCE, .fence_id = fence};

    return started->api.create_fence(started->handle, &wanted);
}

static int create_context_fence(struct gpu_library *library, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id) {
    struct rutabaga_started *started = started_of(library);
    const struct rutabaga_fence wanted = {.flags = RUTABAGA_FENCE | RUTABAGA_FENCE_OF_RING,
                                          .fence_id = fence_id,
                                          .ctx_id = ctx_id,
                                          .ring_idx = ring_idx};

    return started->api.create_fence(started->handle, &wanted);
}

static const struct gpu_operations OPERATIONS = {
    .close = close_library,
    .begin = begin,
    .capset_size = capset_size,
    .capset_fill = capset_fill,
    .resource_create = resource_create,
    .resource_unref = resource_unref,
    .attach_backing = rutabaga_blob_moved,
    .detach_backing = detach_backing,
    .transfer_to_host = rutabaga_transfer_to_host,
    .transfer_from_host = rutabaga_transfer_from_host,
    .blob_create = rutabaga_blob_create,
    .blob_export = rutabaga_blob_export,
    .guest_blob_create = rutabaga_blob_create,
    .context_create = context_create,
    .context_destroy = context_destroy,
    .context_attach = context_attach,
    .context_detach = context_detach,
    .submit = submit,
    .create_fence = create_fence,
    .create_context_fence = create_context_fence,
};

void rutabaga_set_operations(struct rutabaga_started *started) {
    started->operations = OPERATIONS;
    /* It would say that a resource was made, but have none. */
    if (started->capset_mask == (uint64_t)1 << RUTABAGA_CROSS_DOMAIN)
        started->operations.resource_create = NULL;
    /* gfxstream's own are of memory that nobody else can map; cross-domain's are files always. */
    if (started->planar || (rutabaga_only_draws(started) && !started->makes_files)) {
        started->operations.blob_create = NULL;
        started->operations.guest_blob_create = NULL;
    }
    started->library.operations = &started->operations;
}
