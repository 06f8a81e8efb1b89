/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A 3D library: one table of operations, which each library's folder fills, and what it says about
 * fences.  All of it is called from the thread that runs the queue.
 */
#ifndef VGPUD_GPU_LIBRARY_H
#define VGPUD_GPU_LIBRARY_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "render3d/fences.h"
#include "shared/present.h"

/* [python] */
struct gpu_library;

/* The fields of virtio_gpu_resource_create_3d. */
struct resource_3d {
    uint32_t resource_id;
    uint32_t target;
    uint32_t format;
    uint32_t bind;
    uint32_t width;
    uint32_t height;
    uint32_t depth;
    uint32_t array_size;
    uint32_t last_level;
    uint32_t nr_samples;
    uint32_t flags;
};

/* The fields of virtio_gpu_resource_create_blob, with the context that asked for it. */
struct host_blob {
    uint32_t resource_id;
    uint32_t ctx_id;
    uint32_t blob_mem; /* VIRTIO_GPU_BLOB_MEM_HOST3D or VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST */
    uint32_t blob_flags;
    uint64_t blob_id;
    uint64_t size;
};

void gpu_library_close(struct gpu_library *library);

/* Bytes of a capability set, and its highest version; -ENOENT when the library does not have it. */
int gpu_library_capset_size(struct gpu_library *library, uint32_t capset_id, uint32_t *max_version);
/* Fills `data`, of gpu_library_capset_size() bytes; slow, so ask once. */
int gpu_library_capset_fill(struct gpu_library *library, uint32_t capset_id, uint32_t version,
                            uint8_t *data);
/* Makes a context for a capability set, and ends it: 0 when that works. */
int gpu_library_try_context(struct gpu_library *library, uint32_t capset_id);
/* [end python] */

/* VIRTIO_GPU_CAPSET_VENUS, which older headers lack: contexts of it have processes of their own,
 * and a timeline for each of their rings. */
enum { CAPSET_VENUS = 4 };

/* Targets and binds of RESOURCE_CREATE_3D, which VIRTIO leaves to the protocol: Gallium's. */
enum { PIPE_BUFFER = 0, PIPE_TEXTURE_2D = 2, PIPE_TEXTURE_CUBE = 4, PIPE_TARGETS = 9 };
enum { PIPE_BIND_RENDER_TARGET = 1 << 1, PIPE_BIND_SAMPLER_VIEW = 1 << 3 };

/* Pixels between a resource and guest memory. */
struct gpu_transfer {
    const struct resource_3d *resource;
    uint32_t ctx_id; /* 0: none */
    uint32_t level, stride, layer_stride;
    struct virtio_gpu_box box;
    uint64_t offset;        /* in iov, or the backing */
    uint64_t backing_bytes; /* how long that is; 0: there is none */
    struct iovec *iov;      /* NULL: its backing */
    uint32_t iov_count;
};

/* A blob as a file that others can map. */
struct blob_export {
    int fd;            /* the caller owns it */
    uint64_t offset;   /* of its first byte in the file */
    uint32_t map_info; /* VIRTIO_GPU_MAP_CACHE_..., NONE: not for the guest */
    bool dmabuf;       /* readers must tell the kernel */
};

/*
 * What a library does.  Each library has all of them, except those that may be NULL as said below.
 * If nothing else is said, 0 is success and anything else a refusal; resources and contexts that
 * are named exist.
 */
struct gpu_operations {
    void (*close)(struct gpu_library *library);
    /* From now on a guest causes what it logs. */
    void (*begin)(struct gpu_library *library);
    int (*capset_size)(struct gpu_library *library, uint32_t capset_id, uint32_t *max_version);
    void (*capset_fill)(struct gpu_library *library, uint32_t capset_id, uint32_t version,
                        uint8_t *data);

    /* NULL when it has no textures: then 2D resources always stay images. */
    int (*resource_create)(struct gpu_library *library, const struct resource_3d *resource);
    /* Of a texture or a blob. */
    void (*resource_unref)(struct gpu_library *library, uint32_t resource_id);
    /* `iov` stays valid until it is detached. */
    void (*attach_backing)(struct gpu_library *library, uint32_t resource_id, struct iovec *iov,
                           uint32_t count);
    void (*detach_backing)(struct gpu_library *library, uint32_t resource_id);
    int (*transfer_to_host)(struct gpu_library *library, const struct gpu_transfer *transfer);
    int (*transfer_from_host)(struct gpu_library *library, const struct gpu_transfer *transfer);

    /* These two are NULL when it has no blobs, or none that others can map.  `iov`: the guest's
     * part of a blob, which stays valid until it is detached. */
    int (*blob_create)(struct gpu_library *library, const struct host_blob *blob, struct iovec *iov,
                       uint32_t count);
    int (*blob_export)(struct gpu_library *library, uint32_t resource_id,
                       struct blob_export *exported);
    /* Describes a blob that is a texture; refused for one that is memory.  NULL when blobs are
     * never textures. */
    int (*blob_texture)(struct gpu_library *library, uint32_t resource_id,
                        struct resource_3d *texture);
    /* A blob of the guest's own memory, `iov`, for the contexts that it is attached to.  NULL when
     * they cannot use it. */
    int (*guest_blob_create)(struct gpu_library *library, const struct host_blob *blob,
                             struct iovec *iov, uint32_t count);

    int (*context_create)(struct gpu_library *library, uint32_t ctx_id, uint32_t context_init,
                          const char *name, uint32_t length);
    void (*context_destroy)(struct gpu_library *library, uint32_t ctx_id);
    void (*context_attach)(struct gpu_library *library, uint32_t ctx_id, uint32_t resource_id);
    void (*context_detach)(struct gpu_library *library, uint32_t ctx_id, uint32_t resource_id);
    int (*submit)(struct gpu_library *library, uint32_t ctx_id, uint8_t *stream, uint64_t bytes);

    /* A fence of all contexts, in order: fence_ring_passed() tells when it has passed.  A context's
     * own fence may be refused, if the library has no such timeline. */
    int (*create_fence)(struct gpu_library *library, uint32_t fence);
    int (*create_context_fence)(struct gpu_library *library, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id);
    /* Called when poll_fd is readable; NULL without one. */
    void (*poll)(struct gpu_library *library);

    /* These two are NULL when its resources have no DMA buffers, or none that it describes.  A
     * buffer has one plane that begins at offset 0: the display's messages have no more.  NULL:
     * `fd` is the caller's, `buffer` is filled but for its sizes and the scanout; or why not. */
    const char *(*export_buffer)(struct gpu_library *library, uint32_t resource_id, int *fd,
                                 struct present_buffer *buffer);
    /* Sends what contexts have drawn to the GPU, before another process is told to read it: the
     * kernel makes readers of the buffer wait only for what it knows of. */
    void (*flush_drawing)(struct gpu_library *library);
};

/* The beginning of each library's own structure. */
struct gpu_library {
    const struct gpu_operations *operations;
    struct fence_ring fences;
    int poll_fd;      /* readable when it wants poll() to be called; -1: never */
    bool reads_whole; /* whatever part of a texture is read: so it is read once, not in bands */
};

#endif
