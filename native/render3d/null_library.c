/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/null_library.h"

#include <errno.h>
#include <stdlib.h>

static void close_library(struct gpu_library *library) {
    fence_ring_destroy(&library->fences);
    free(library);
}

static void begin(struct gpu_library *library) {
    (void)library;
}

static int capset_size(struct gpu_library *library, uint32_t capset_id, uint32_t *max_version) {
    (void)library;
    (void)capset_id;
    (void)max_version;
    return -ENOENT;
}

static void capset_fill(struct gpu_library *library, uint32_t capset_id, uint32_t version,
                        uint8_t *data) {
    (void)library;
    (void)capset_id;
    (void)version;
    (void)data;
}

static int resource_create(struct gpu_library *library, const struct resource_3d *resource) {
    (void)library;
    (void)resource;
    return 0;
}

static void resource_unref(struct gpu_library *library, uint32_t resource_id) {
    (void)library;
    (void)resource_id;
}

static void attach_backing(struct gpu_library *library, uint32_t resource_id, struct iovec *iov,
                           uint32_t count) {
    (void)library;
    (void)resource_id;
    (void)iov;
    (void)count;
}

static int transfer(struct gpu_library *library, const struct gpu_transfer *transfer) {
    (void)library;
    (void)transfer;
    return 0;
}

static int context_create(struct gpu_library *library, uint32_t ctx_id, uint32_t context_init,
                          const char *name, uint32_t length) {
    (void)library;
    (void)ctx_id;
    (void)context_init;
    (void)name;
    (void)length;
    return 0;
}

static void context_destroy(struct gpu_library *library, uint32_t ctx_id) {
    (void)library;
    (void)ctx_id;
}

static void context_resource(struct gpu_library *library, uint32_t ctx_id, uint32_t resource_id) {
    (void)library;
    (void)ctx_id;
    (void)resource_id;
}

static int submit(struct gpu_library *library, uint32_t ctx_id, uint8_t *stream, uint64_t bytes) {
    (void)library;
    (void)ctx_id;
    (void)stream;
    (void)bytes;
    return 0;
}

/* Nothing is under way, ever. */
static int create_fence(struct gpu_library *library, uint32_t fence) {
    fence_ring_retire(&library->fences, fence);
    return 0;
}

static int create_context_fence(struct gpu_library *library, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id) {
    fence_ring_retire_context(&library->fences, ctx_id, ring_idx, fence_id);
    return 0;
}

static void poll_library(struct gpu_library *library) {
    (void)library;
}

static int can_export(struct gpu_library *library) {
    (void)library;
    return -ENOSYS;
}

static const char *export_buffer(struct gpu_library *library, uint32_t resource_id, int *fd,
                                 struct present_buffer *buffer) {
    (void)library;
    (void)resource_id;
    (void)fd;
    (void)buffer;
    return "nothing is drawn";
}

static const struct gpu_operations OPERATIONS = {
    .close = close_library,
    .begin = begin,
    .capset_size = capset_size,
    .capset_fill = capset_fill,
    .resource_create = resource_create,
    .resource_unref = resource_unref,
    .attach_backing = attach_backing,
    .detach_backing = resource_unref,
    .transfer_to_host = transfer,
    .transfer_from_host = transfer,
    .context_create = context_create,
    .context_destroy = context_destroy,
    .context_attach = context_resource,
    .context_detach = context_resource,
    .submit = submit,
    .create_fence = create_fence,
    .create_context_fence = create_context_fence,
    .poll = poll_library,
    .can_export = can_export,
    .export_buffer = export_buffer,
    .flush_drawing = poll_library,
};

struct gpu_library *null_library_open(void) {
    struct gpu_library *library = calloc(1, sizeof(*library));
    int error;

    if (library == NULL)
        return NULL;
    error = fence_ring_init(&library->fences);
    if (error < 0) {
        free(library);
        errno = -error;
        return NULL;
    }
    library->operations = &OPERATIONS;
    library->poll_fd = -1;
    library->wake_fd = library->fences.eventfd;
    return library;
}
