/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Stands in for a libvirglrenderer.so.1 with Vulkan, and makes blobs: memory files as lavapipe's and
 * as a server's rings are, and such as no guest or VMM is to be given.  `blob_id` says which; from
 * OPENGL on it names one that a context of OpenGL has made.  All else is the real library's, which
 * this one is linked to.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DMABUF = 1, OPAQUE, SHM };
enum { CACHED = 1, WRITE_COMBINED = 3 };
enum { PAGE = 4096, NOTES = 40, BLOBS = 1024, OPENGL = 100 };

/* By blob_id. */
static const struct kind {
    uint32_t type;
    uint32_t map_info; /* 0: none */
    uint64_t allocated; /* 0: as much as was asked for */
    int seals; /* -1: it cannot have any */
    int creates, exports; /* what the calls return */
} KINDS[] = {
    {SHM, CACHED, 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, 0, 0},
    {OPAQUE, CACHED, 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, 0, 0},
    {OPAQUE, CACHED, 100, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, 0, 0},
    {DMABUF, WRITE_COMBINED, 0, F_SEAL_SHRINK, 0, 0},
    {9, CACHED, 0, F_SEAL_SHRINK, 0, 0},
    {SHM, 0, 0, F_SEAL_SHRINK, 0, 0},
    {SHM, CACHED, 0, F_SEAL_SHRINK, 0, -EINVAL},
    {SHM, CACHED, 0, 0, 0, 0},
    {SHM, CACHED, 0, 0, -1, 0},
    {SHM, CACHED, 0, 0, -ENOMEM, 0},
    {SHM, CACHED, 0, -1, 0, 0},
};

struct arguments {
    uint32_t handle, ctx_id, blob_mem, blob_flags;
    uint64_t blob_id, size;
    const struct iovec *iovecs;
    uint32_t num_iovs;
};

static struct {
    uint32_t handle;
    const struct kind *kind;
    int fd;
} blobs[BLOBS];

/* The allocation that vgpud looks for in a library. */
void *virgl_stand_in_memory(size_t bytes);
void *virgl_stand_in_memory(size_t bytes) {
    return malloc(bytes);
}

static int find(uint32_t handle) {
    for (int i = 0; i < BLOBS; i++)
        if (blobs[i].handle == handle)
            return i;
    return -1;
}

static int make(const struct kind *kind, uint64_t size) {
    uint64_t bytes = kind->allocated ? kind->allocated : size;
    int fd = memfd_create("blob", MFD_CLOEXEC | (kind->seals < 0 ? 0 : MFD_ALLOW_SEALING));

    if (kind->type == OPAQUE)
        bytes += PAGE + NOTES;
    if (ftruncate(fd, (off_t)bytes) < 0)
        return -1;
    if (kind->type == OPAQUE)
        (void)!pwrite(fd, "the driver's", 12, 0);
    if (kind->seals > 0)
        fcntl(fd, F_ADD_SEALS, kind->seals);
    return fd;
}

int virgl_renderer_resource_create_blob(const struct arguments *arguments);
int virgl_renderer_resource_create_blob(const struct arguments *arguments) {
    int (*real)(const struct arguments *) =
        dlsym(RTLD_NEXT, "virgl_renderer_resource_create_blob");
    int place = find(0);

    if (arguments->blob_id >= OPENGL)
        return real(arguments);
    if (arguments->blob_id >= sizeof(KINDS) / sizeof(KINDS[0]) || place < 0 || !arguments->ctx_id)
        return -EINVAL;
    blobs[place].kind = &KINDS[arguments->blob_id];
    if (blobs[place].kind->creates != 0)
        return blobs[place].kind->creates;
    blobs[place].fd = make(blobs[place].kind, arguments->size);
    blobs[place].handle = arguments->handle;
    return 0;
}

int virgl_renderer_resource_get_map_info(uint32_t handle, uint32_t *map_info);
int virgl_renderer_resource_get_map_info(uint32_t handle, uint32_t *map_info) {
    int place = find(handle);

    if (place < 0 || blobs[place].kind->map_info == 0)
        return -EINVAL;
    *map_info = blobs[place].kind->map_info;
    return 0;
}

int virgl_renderer_resource_export_blob(uint32_t handle, uint32_t *fd_type, int *fd);
int virgl_renderer_resource_export_blob(uint32_t handle, uint32_t *fd_type, int *fd) {
    int place = find(handle);

    if (place < 0 || blobs[place].kind->exports != 0)
        return -EINVAL;
    *fd_type = blobs[place].kind->type;
    *fd = fcntl(blobs[place].fd, F_DUPFD_CLOEXEC, 0);
    return 0;
}

void virgl_renderer_resource_unref(uint32_t handle);
void virgl_renderer_resource_unref(uint32_t handle) {
    void (*real)(uint32_t) = dlsym(RTLD_NEXT, "virgl_renderer_resource_unref");
    int place = find(handle);

    if (place < 0) {
        real(handle);
        return;
    }
    close(blobs[place].fd);
    blobs[place].handle = 0;
}
