/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC, seals */
#include "rutabaga/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "rutabaga/numbers.h"
#include "shared/sealed.h"

/* --- the table */

/* The place of the pointer to it, which is NULL when there is none. */
static struct rutabaga_blob **find(struct gpu_library *library, uint32_t resource_id) {
    struct rutabaga_blob **place = &started_of(library)->blobs[resource_id % BLOB_CHAINS];

    while (*place != NULL && (*place)->resource_id != resource_id)
        place = &(*place)->next;
    return place;
}

bool rutabaga_blob_is(struct gpu_library *library, uint32_t resource_id) {
    return *find(library, resource_id) != NULL;
}

static struct rutabaga_blob *new_blob(const struct host_blob *wanted, struct iovec *iov,
                                      uint32_t count) {
    struct rutabaga_blob *blob = calloc(1, sizeof(*blob));

    if (blob != NULL)
        *blob = (struct rutabaga_blob){.resource_id = wanted->resource_id,
                                       .size = wanted->size,
                                       .iov = iov,
                                       .iov_count = count,
                                       .fd = -1};
    return blob;
}

static void leave_contexts(struct rutabaga_started *started, const struct rutabaga_blob *blob) {
    for (uint32_t i = 0; i < blob->context_count; i++)
        started->api.context_detach_resource(started->handle, blob->contexts[i], blob->resource_id);
}

void rutabaga_blob_forget(struct gpu_library *library, uint32_t resource_id) {
    struct rutabaga_blob **place = find(library, resource_id), *blob = *place;

    if (blob == NULL)
        return;
    leave_contexts(started_of(library), blob);
    *place = blob->next;
    if (blob->fd >= 0)
        close(blob->fd);
    free(blob->contexts);
    free(blob);
}

void rutabaga_blobs_forget(struct gpu_library *library) {
    for (uint32_t chain = 0; chain < BLOB_CHAINS; chain++)
        while (started_of(library)->blobs[chain] != NULL)
            rutabaga_blob_forget(library, started_of(library)->blobs[chain]->resource_id);
}

/* --- creation */

/* Cross-domain contexts cannot make blobs of guest memory: these are made without a context, and
 * then attached. */
static uint32_t maker_of(const struct rutabaga_started *started, const struct host_blob *blob) {
    bool cross_domain =
        numbers_have(started->cross_domain, started->cross_domain_count, blob->ctx_id);

    return cross_domain && blob->blob_mem == VIRTIO_GPU_BLOB_MEM_GUEST ? 0 : blob->ctx_id;
}

/* A blob without the flag for sharing can be exported only once, and not at all when a context has
 * it; but a guest maps more than once. */
static uint32_t flags_of(const struct host_blob *blob) {
    return blob->blob_mem == VIRTIO_GPU_BLOB_MEM_GUEST
               ? blob->blob_flags
               : blob->blob_flags | VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE;
}

int rutabaga_blob_create(struct gpu_library *library, const struct host_blob *wanted,
                         struct iovec *iov, uint32_t count) {
    struct rutabaga_started *started = started_of(library);
    const struct rutabaga_blob_args args = {.blob_mem = wanted->blob_mem,
                                            .blob_flags = flags_of(wanted),
                                            .blob_id = wanted->blob_id,
                                            .size = wanted->size};
    const struct rutabaga_iovecs iovecs = {iov, count};
    struct rutabaga_blob *blob = new_blob(wanted, iov, count), **place;

    if (blob == NULL)
        return -ENOMEM;
    if (started->api.resource_create_blob(started->handle, maker_of(started, wanted),
                                          wanted->resource_id, &args, iov != NULL ? &iovecs : NULL,
                                          NULL) != 0) {
        free(blob);
        return -EINVAL;
    }
    place = find(library, wanted->resource_id);
    *place = blob;
    return 0;
}

/* --- contexts, and guest memory */

/* A context takes the pointers to guest memory from the resource: they must be given again for the
 * next context. */
static void attach_next(struct rutabaga_started *started, struct rutabaga_blob *blob) {
    const struct rutabaga_iovecs iovecs = {blob->iov, blob->iov_count};

    if (blob->iov != NULL && blob->context_count > 0)
        started->api.resource_attach_backing(started->handle, blob->resource_id, &iovecs);
}

void rutabaga_blob_attached(struct gpu_library *library, uint32_t resource_id, uint32_t ctx_id) {
    struct rutabaga_started *started = started_of(library);
    struct rutabaga_blob *blob = *find(library, resource_id);

    if (blob == NULL) {
        started->api.context_attach_resource(started->handle, ctx_id, resource_id);
        return;
    }
    attach_next(started, blob);
    if (numbers_add(&blob->contexts, &blob->context_count, &blob->context_room, ctx_id))
        started->api.context_attach_resource(started->handle, ctx_id, resource_id);
}

void rutabaga_blob_detached(struct gpu_library *library, uint32_t resource_id, uint32_t ctx_id) {
    struct rutabaga_started *started = started_of(library);
    struct rutabaga_blob *blob = *find(library, resource_id);

    if (blob != NULL)
        numbers_remove(blob->contexts, &blob->context_count, ctx_id);
    started->api.context_detach_resource(started->handle, ctx_id, resource_id);
}

void rutabaga_blobs_leave(struct gpu_library *library, uint32_t ctx_id) {
    for (uint32_t chain = 0; chain < BLOB_CHAINS; chain++)
        for (struct rutabaga_blob *blob = started_of(library)->blobs[chain]; blob != NULL;
             blob = blob->next)
            numbers_remove(blob->contexts, &blob->context_count, ctx_id);
}

void rutabaga_blob_moved(struct gpu_library *library, uint32_t resource_id, struct iovec *iov,
                         uint32_t count) {
    struct rutabaga_started *started = started_of(library);
    const struct rutabaga_iovecs iovecs = {iov, count};
    struct rutabaga_blob *blob = *find(library, resource_id);

    if (blob != NULL) {
        leave_contexts(started, blob);
        blob->iov = iov;
        blob->iov_count = count;
    }
    if (iov == NULL) {
        started->api.resource_detach_backing(started->handle, resource_id);
        return;
    }
    started->api.resource_attach_backing(started->handle, resource_id, &iovecs);
    for (uint32_t i = 0; blob != NULL && i < blob->context_count; i++) {
        if (i > 0)
            started->api.resource_attach_backing(started->handle, resource_id, &iovecs);
        started->api.context_attach_resource(started->handle, blob->contexts[i], resource_id);
    }
}

/* --- as a file */

/* A guest may write to what it has mapped, and would be ended if that is not possible. */
static bool can_be_mapped(int fd) {
    int flags = fcntl(fd, F_GETFL), seals;

    if (flags < 0 || (flags & O_ACCMODE) != O_RDWR)
        return false;
    /* The library does not seal its own images against being made shorter. */
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
    seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 &&
           (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0;
}

static int copy_all(int from, int to, uint64_t size) {
    uint8_t bytes[4096];
    uint64_t at = 0;

    while (at < size) {
        uint64_t left = size - at;
        ssize_t count = pread(from, bytes, left < sizeof(bytes) ? left : sizeof(bytes), (off_t)at);
        if (count == 0)
            return 0;
        if (count < 0 || write(to, bytes, (size_t)count) != count)
            return -EIO;
        at += (uint64_t)count;
    }
    return 0;
}

/* A compositor's files, such as its keymap, are read-only: the guest gets a copy. */
static int copy_of(int fd, uint64_t size) {
    int copy = sealed_memory_create("blob", size);
    int error = copy < 0 ? copy : copy_all(fd, copy, size);

    close(fd);
    if (error < 0 && copy >= 0)
        close(copy);
    return error < 0 ? error : copy;
}

static int take(struct rutabaga_started *started, struct rutabaga_blob *blob) {
    struct rutabaga_handle handle = {.descriptor = -1};
    int fd;

    if (started->api.resource_map_info(started->handle, blob->resource_id, &blob->map_info) != 0)
        blob->map_info = VIRTIO_GPU_MAP_CACHE_NONE;
    if (started->api.resource_export_blob(started->handle, blob->resource_id, &handle) != 0 ||
        handle.descriptor < 0)
        return -EOPNOTSUPP;
    fd = (int)handle.descriptor;
    /* Other kinds are not files that begin where the blob does. */
    if (handle.type != RUTABAGA_SHM && handle.type != RUTABAGA_DMABUF) {
        close(fd);
        return -EOPNOTSUPP;
    }
    if (handle.type == RUTABAGA_SHM && !can_be_mapped(fd))
        fd = copy_of(fd, blob->size);
    if (fd < 0)
        return -EOPNOTSUPP;
    blob->fd = fd;
    blob->dmabuf = handle.type == RUTABAGA_DMABUF;
    return 0;
}

int rutabaga_blob_export(struct gpu_library *library, uint32_t resource_id,
                         struct blob_export *exported) {
    struct rutabaga_blob *blob = *find(library, resource_id);
    int error;

    if (blob == NULL)
        return -ENOENT;
    error = blob->fd < 0 ? take(started_of(library), blob) : 0;
    if (error < 0)
        return error;
    exported->fd = fcntl(blob->fd, F_DUPFD_CLOEXEC, 0);
    exported->offset = 0;
    exported->dmabuf = blob->dmabuf;
    /* The library puts access rights into the same number. */
    exported->map_info = blob->map_info & VIRTIO_GPU_MAP_CACHE_MASK;
    return exported->fd < 0 ? -errno : 0;
}
