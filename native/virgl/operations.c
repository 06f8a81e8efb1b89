/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl/operations.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "virgl/blob.h"
#include "virgl/context_0.h"
#include "virgl/export.h"
#include "virgl/layers.h"
#include "virgl/log.h"

/* --- the library itself */

void virgl_release_parts(struct virgl *virgl) {
    if (virgl->server >= 0)
        close(virgl->server);
    fence_ring_destroy(&virgl->library.fences);
    free(virgl->render_node);
    free(virgl);
}

static void close_library(struct gpu_library *library) {
    /* Ends the thread that calls back, so the fence ring is freed after it. */
    api_of(library)->cleanup(virgl_of(library));
    virgl_release_parts(virgl_of(library));
}

static void begin(struct gpu_library *library) {
    (void)library;
    virgl_log_started();
}

static int capset_size(struct gpu_library *library, uint32_t capset_id, uint32_t *max_version) {
    uint32_t size = 0;

    api_of(library)->get_cap_set(capset_id, max_version, &size);
    return size != 0 && size <= INT32_MAX ? (int)size : -ENOENT;
}

static void capset_fill(struct gpu_library *library, uint32_t capset_id, uint32_t version,
                        uint8_t *data) {
    api_in_context_0(library)->fill_caps(capset_id, version, data);
}

/* --- resources */

static int resource_create(struct gpu_library *library, const struct resource_3d *resource) {
    struct virgl_resource_create_args args = {
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
        .flags = resource->flags,
    };

    return api_in_context_0(library)->resource_create(&args, NULL, 0);
}

static void resource_unref(struct gpu_library *library, uint32_t resource_id) {
    api_in_context_0(library)->resource_unref(resource_id);
}

static void attach_backing(struct gpu_library *library, uint32_t resource_id, struct iovec *iov,
                           uint32_t count) {
    api_in_context_0(library)->resource_attach_iov((int)resource_id, iov, (int)count);
}

static void detach_backing(struct gpu_library *library, uint32_t resource_id) {
    api_in_context_0(library)->resource_detach_iov((int)resource_id, NULL, NULL);
}

/* --- contexts */

/* A new context is current at once, and the library does not note that: it goes on as if the one
 * before were, which must not be a guest's. */
static int context_create(struct gpu_library *library, uint32_t ctx_id, uint32_t context_init,
                          const char *name, uint32_t length) {
    const struct virgl_api *api = api_in_context_0(library);

    api_leaving_context_0(library);
    /* The offered sets are virgl's, which a context without a set has too. */
    if (context_init == 0 || api->context_create_with_flags == NULL)
        return api->context_create(ctx_id, length, name);
    return api->context_create_with_flags(ctx_id, context_init, length, name);
}

static void context_destroy(struct gpu_library *library, uint32_t ctx_id) {
    api_in_context_0(library)->context_destroy(ctx_id);
}

static void context_attach(struct gpu_library *library, uint32_t ctx_id, uint32_t resource_id) {
    api_in_context_0(library)->ctx_attach_resource((int)ctx_id, (int)resource_id);
}

static void context_detach(struct gpu_library *library, uint32_t ctx_id, uint32_t resource_id) {
    api_in_context_0(library)->ctx_detach_resource((int)ctx_id, (int)resource_id);
}

static int submit(struct gpu_library *library, uint32_t ctx_id, uint8_t *stream, uint64_t bytes) {
    return api_leaving_context_0(library)->submit_cmd(stream, (int)ctx_id,
                                                      (int)(bytes / sizeof(uint32_t)));
}

/* --- fences */

static int create_fence(struct gpu_library *library, uint32_t fence) {
    return api_of(library)->create_fence((int)fence, 0);
}

static int create_context_fence(struct gpu_library *library, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id) {
    const struct virgl_api *api = api_of(library);

    if (api->context_create_fence == NULL)
        return -ENOSYS;
    return api->context_create_fence(ctx_id, VIRGL_FENCE_MERGEABLE, ring_idx, fence_id);
}

static void poll_library(struct gpu_library *library) {
    api_leaving_context_0(library)->poll();
}

static const struct gpu_operations OPERATIONS = {
    .close = close_library,
    .begin = begin,
    .capset_size = capset_size,
    .capset_fill = capset_fill,
    .resource_create = resource_create,
    .resource_unref = resource_unref,
    .attach_backing = attach_backing,
    .detach_backing = detach_backing,
    .transfer_to_host = virgl_transfer_to_host,
    .transfer_from_host = virgl_transfer_from_host,
    .blob_create = virgl_blob_create,
    .blob_export = virgl_blob_export,
    .blob_texture = virgl_blob_texture,
    .context_create = context_create,
    .context_destroy = context_destroy,
    .context_attach = context_attach,
    .context_detach = context_detach,
    .submit = submit,
    .create_fence = create_fence,
    .create_context_fence = create_context_fence,
    .poll = poll_library,
    .export_buffer = virgl_export_buffer,
    .flush_drawing = virgl_flush_drawing,
};

static bool has_blobs(const struct virgl_api *api) {
    return api->resource_create_blob != NULL && api->resource_export_blob != NULL &&
           api->resource_get_map_info != NULL;
}

void virgl_set_operations(struct virgl *virgl) {
    virgl->operations = OPERATIONS;
    if (!has_blobs(&virgl->api))
        virgl->operations.blob_create = NULL;
    virgl->library.operations = &virgl->operations;
}
