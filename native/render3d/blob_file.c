/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* F_ADD_SEALS */
#include "render3d/blob_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "render3d/render3d.h"

static bool round_up(uint64_t *bytes, uint64_t page) {
    if (__builtin_add_overflow(*bytes, page - 1, bytes))
        return false;
    *bytes -= *bytes % page;
    return true;
}

/* Lavapipe of Mesa 25.0 makes memory files of any size, but QEMU maps only whole pages.  The
 * process that made the file may not seal it (vgpud/walls/calls.py), so that it can be extended
 * here, and then sealed. */
static void make_whole_pages(int fd, uint64_t page) {
    struct stat status;
    uint64_t bytes;

    if (fcntl(fd, F_GET_SEALS) != 0 || fstat(fd, &status) < 0)
        return;
    bytes = (uint64_t)status.st_size;
    if (bytes % page != 0 && (!round_up(&bytes, page) || ftruncate(fd, (off_t)bytes) < 0))
        return;
    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
}

/* Touching memory beyond the end of a file ends a process, and nobody else has checked the size
 * that the guest states. */
static int measure(uint64_t size, struct blob_file *file) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end, there;
    struct stat status;

    make_whole_pages(file->fd, page);
    if (fstat(file->fd, &status) < 0)
        return -errno;
    if (file->offset % page != 0)
        return -EOPNOTSUPP;
    /* The last page of a file exists as a whole: drivers round up to it, libraries may not. */
    there = (uint64_t)status.st_size;
    if (!round_up(&there, page) || __builtin_add_overflow(file->offset, size, &end) || end > there)
        return -EINVAL;
    file->length = size;
    return round_up(&file->length, page) ? 0 : -EINVAL;
}

int blob_file_open(struct device *device, const struct resource *resource, struct blob_file *file) {
    struct blob_export exported = {.fd = -1};
    int error;

    if (library_of(device)->operations->blob_export(library_of(device), resource->resource_id,
                                                    &exported))
        return -EOPNOTSUPP;
    *file = (struct blob_file){.fd = exported.fd,
                               .offset = exported.offset,
                               .map_info = exported.map_info,
                               .dmabuf = exported.dmabuf};
    error = measure(resource->blob_bytes, file);
    if (error < 0)
        close(exported.fd);
    return error;
}

/* Whether the library says how it may be mapped for the guest. */
static bool for_guests(const struct blob_file *file) {
    return (file->map_info & VIRTIO_GPU_MAP_CACHE_MASK) != VIRTIO_GPU_MAP_CACHE_NONE;
}

int host_blob_export(struct device *device, uint32_t resource_id, struct blob_file *file) {
    const struct resource *resource = resource_table_find(&device->resources, resource_id);
    int error;

    if (resource == NULL || resource->kind->number != RESOURCE_HOST_BLOB)
        return -ENOENT;
    if (resource->texture == NULL)
        return -EIO;
    if (!(resource->texture->flags & VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE))
        return -EINVAL;
    error = blob_file_open(device, resource, file);
    if (error < 0 || for_guests(file))
        return error;
    close(file->fd);
    return -EOPNOTSUPP;
}
