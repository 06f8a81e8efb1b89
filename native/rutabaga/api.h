/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What we use of librutabaga_gfx_ffi's interface, declared by ourselves so that nothing of it is
 * needed to build.  Its structures differ between releases at their ends: these are as long as the
 * longest of 0.1.3 to 0.1.85, and a release does not read beyond its own.  Names are the library's
 * without their prefix.
 */
#ifndef VGPUD_RUTABAGA_API_H
#define VGPUD_RUTABAGA_API_H

#include <stdint.h>
#include <sys/uio.h>

struct rutabaga;

struct rutabaga_blob_args {
    uint32_t blob_mem;
    uint32_t blob_flags;
    uint64_t blob_id;
    uint64_t size;
};

struct rutabaga_resource_args {
    uint32_t target, format, bind;
    uint32_t width, height, depth;
    uint32_t array_size, last_level, nr_samples, flags;
};

struct rutabaga_transfer {
    uint32_t x, y, z;
    uint32_t w, h, d;
    uint32_t level, stride, layer_stride;
    uint64_t offset;
};

struct rutabaga_iovecs {
    struct iovec *iovecs;
    uint64_t count;
};

struct rutabaga_handle {
    int64_t descriptor;
    uint32_t type;
};

/* Kinds of handles that are files. */
enum { RUTABAGA_OPAQUE_FD = 1, RUTABAGA_DMABUF = 2, RUTABAGA_SHM = 4 };

/* Some releases' headers end after the stream; the library reads all of it in each. */
struct rutabaga_command {
    uint32_t ctx_id;
    uint32_t bytes;
    uint8_t *stream;
    uint32_t in_fences;
    const uint64_t *in_fence_ids; /* not NULL, even if there are none */
};

struct rutabaga_channel {
    const char *path;
    uint32_t type;
};

enum { RUTABAGA_WAYLAND = 1 };

struct rutabaga_channels {
    const struct rutabaga_channel *channels;
    uint64_t count;
};

struct rutabaga_fence {
    uint32_t flags;
    uint64_t fence_id;
    uint32_t ctx_id;
    uint32_t ring_idx; /* the library writes one byte of it, and leaves rubbish in the others */
};

enum { RUTABAGA_FENCE = 1, RUTABAGA_FENCE_OF_RING = 2, RUTABAGA_RING_MASK = 0xff };

struct rutabaga_message {
    uint32_t kind;
    const char *text;
};

/* Kinds of messages. */
enum { RUTABAGA_ERROR = 1, RUTABAGA_WARNING = 2 };

struct rutabaga_builder {
    uint64_t user_data;
    uint64_t capset_mask; /* 0: only 2D */
    uint64_t wsi;         /* RUTABAGA_SURFACELESS: no other is accepted */
    void (*fence)(uint64_t user_data, const struct rutabaga_fence *fence);
    void (*debug)(uint64_t user_data, const struct rutabaga_message *message);
    const struct rutabaga_channels *channels;
    const char *features; /* not in 0.1.3, which does not read it; an unknown one is refused */
};

enum { RUTABAGA_SURFACELESS = 1 };

/* Capability sets, with VIRTIO's numbers. */
enum { RUTABAGA_CROSS_DOMAIN = 5, RUTABAGA_CAPSET_MASK = 0xff };

/* RUTABAGA_FUNCTION(name, parameters): each release has these, and each returns 0 or -errno. */
#define RUTABAGA_FUNCTIONS                                                                         \
    RUTABAGA_FUNCTION(init, (const struct rutabaga_builder *builder, struct rutabaga **started))   \
    RUTABAGA_FUNCTION(get_num_capsets, (struct rutabaga *, uint32_t * count))                      \
    RUTABAGA_FUNCTION(get_capset_info, (struct rutabaga *, uint32_t index, uint32_t * capset_id,   \
                                        uint32_t * version, uint32_t * size))                      \
    RUTABAGA_FUNCTION(get_capset, (struct rutabaga *, uint32_t capset_id, uint32_t version,        \
                                   uint8_t * data, uint32_t size))                                 \
    RUTABAGA_FUNCTION(context_create, (struct rutabaga *, uint32_t ctx_id, uint32_t context_init,  \
                                       const char *name, uint32_t length))                         \
    RUTABAGA_FUNCTION(context_destroy, (struct rutabaga *, uint32_t ctx_id))                       \
    RUTABAGA_FUNCTION(context_attach_resource,                                                     \
                      (struct rutabaga *, uint32_t ctx_id, uint32_t resource_id))                  \
    RUTABAGA_FUNCTION(context_detach_resource,                                                     \
                      (struct rutabaga *, uint32_t ctx_id, uint32_t resource_id))                  \
    RUTABAGA_FUNCTION(resource_create_3d, (struct rutabaga *, uint32_t resource_id,                \
                                           const struct rutabaga_resource_args *args))             \
    RUTABAGA_FUNCTION(resource_create_blob,                                                        \
                      (struct rutabaga *, uint32_t ctx_id, uint32_t resource_id,                   \
                       const struct rutabaga_blob_args *args,                                      \
                       const struct rutabaga_iovecs *iovecs,                                       \
                       const struct rutabaga_handle *handle))                                      \
    RUTABAGA_FUNCTION(resource_unref, (struct rutabaga *, uint32_t resource_id))                   \
    RUTABAGA_FUNCTION(resource_attach_backing, (struct rutabaga *, uint32_t resource_id,           \
                                                const struct rutabaga_iovecs *iovecs))             \
    RUTABAGA_FUNCTION(resource_detach_backing, (struct rutabaga *, uint32_t resource_id))          \
    RUTABAGA_FUNCTION(resource_transfer_read,                                                      \
                      (struct rutabaga *, uint32_t ctx_id, uint32_t resource_id,                   \
                       const struct rutabaga_transfer *transfer, const struct iovec *iov))         \
    RUTABAGA_FUNCTION(resource_transfer_write,                                                     \
                      (struct rutabaga *, uint32_t ctx_id, uint32_t resource_id,                   \
                       const struct rutabaga_transfer *transfer))                                  \
    RUTABAGA_FUNCTION(resource_export_blob,                                                        \
                      (struct rutabaga *, uint32_t resource_id, struct rutabaga_handle * handle))  \
    RUTABAGA_FUNCTION(resource_map_info,                                                           \
                      (struct rutabaga *, uint32_t resource_id, uint32_t * map_info))              \
    RUTABAGA_FUNCTION(submit_command, (struct rutabaga *, const struct rutabaga_command *command)) \
    RUTABAGA_FUNCTION(create_fence, (struct rutabaga *, const struct rutabaga_fence *fence))

/* The library's functions, `name` for rutabaga_NAME. */
struct rutabaga_api {
#define RUTABAGA_FUNCTION(name, parameters) int32_t(*name) parameters;
    RUTABAGA_FUNCTIONS
#undef RUTABAGA_FUNCTION
};

#endif
