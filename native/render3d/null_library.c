/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include "render3d/null_library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/sealed.h"

/* A blob is only memory. */
struct null_blob {
    uint32_t resource_id;
    int fd;
    struct null_blob *next;
};

struct null {
    struct gpu_library library;
    struct null_blob *blobs;
};

static struct null *null_of(struct gpu_library *library) {
    return (struct null *)library;
}

/* --- blobs */

/* The place of the pointer to it, which is NULL when there is none. */
static struct null_blob **find(struct gpu_library *library, uint32_t resource_id) {
    struct null_blob **place = &null_of(library)->blobs;

    while (*place != NULL && (*place)->resource_id != resource_id)
        place = &(*place)->next;
    return place;
}

static void forget(struct null_blob **place) {
    struct null_blob *blob = *place;

    if (blob == NULL)
        return;
    *place = blob->next;
    close(blob->fd);
    free(blob);
}

static int blob_create(struct gpu_library *library, const struct host_blob *wanted,
                       struct iovec *iov, uint32_t count) {
    struct null *null = null_of(library);
    struct null_blob *blob;
    int fd = sealed_memory_create("blob", wanted->size);

    (void)iov;
    (void)count;
    if (fd < 0)
        return fd;
    blob = malloc(sizeof(*blob));
    if (blob == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *blob = (struct null_blob){.resource_id = wanted->resource_id, .fd = fd, .next = null->blobs};
    null->blobs = blob;
    return 0;
}

static int blob_export(struct gpu_library *library, uint32_t resource_id,
                       struct blob_export *exported) {
    const struct null_blob *blob = *find(library, resource_id);

    if (blob == NULL)
        return -ENOENT;
    exported->fd = fcntl(blob->fd, F_DUPFD_CLOEXEC, 0);
    exported->offset = 0;
    exported->map_info = VIRTIO_GPU_MAP_CACHE_CACHED;
    return exported->fd < 0 ? -errno : 0;
}

/* --- everything else does nothing */

static void close_library(struct gpu_library *library) {
    while (null_of(library)->blobs != NULL)
        forget(&null_of(library)->blobs);
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
    forget(find(library, resource_id));
}

static void detach_backing(struct gpu_library *library, uint32_t resource_id) {
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

/* Nothing is ever under way. */
static int create_fence(struct gpu_library *library, uint32_t fence) {
    fence_ring_retire(&library->fences, fence);
    return 0;
}

static int create_context_fence(struct gpu_library *library, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id) {
    fence_ring_retire_context(&library->fences, ctx_id, ring_idx, fence_id);
    return 0;
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
    .transfer_to_host = transfer,
    .transfer_from_host = transfer,
    .blob_create = blob_create,
    .blob_export = blob_export,
    .context_create = context_create,
    .context_destroy = context_destroy,
    .context_attach = context_resource,
    .context_detach = context_resource,
    .submit = submit,
    .create_fence = create_fence,
    .create_context_fence = create_context_fence,
};

struct gpu_library *null_library_open(void) {
    struct null *null = calloc(1, sizeof(*null));
    struct gpu_library *library = &null->library;
    int error;

    if (null == NULL)
        return NULL;
    error = fence_ring_init(&library->fences);
    if (error < 0) {
        free(null);
        errno = -error;
        return NULL;
    }
    library->operations = &OPERATIONS;
    library->poll_fd = -1;
    return library;
}
