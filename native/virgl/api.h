/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What we use of libvirglrenderer's interface, declared by ourselves so that nothing of it is
 * needed to build: the functions and structures that 0.10.4 (Debian 12) to 1.3 agree on.  Names are
 * the library's without their prefix.
 */
#ifndef VGPUD_VIRGL_API_H
#define VGPUD_VIRGL_API_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* [python] */
/* Flags of virgl_renderer_init(). */
enum {
    VIRGL_USE_EGL = 1,
    VIRGL_THREAD_SYNC = 2,
    VIRGL_USE_GLX = 4,
    VIRGL_USE_SURFACELESS = 8,
    VIRGL_USE_GLES = 16,
    VIRGL_VENUS = 64,
    VIRGL_NO_VIRGL = 128,
    VIRGL_ASYNC_FENCE_CB = 256,
    VIRGL_RENDER_SERVER = 512,
};
/* [end python] */

/* context_create_fence(): a later fence of the same ring implies this one. */
enum { VIRGL_FENCE_MERGEABLE = 1 };

struct virgl_box {
    uint32_t x, y, z;
    uint32_t w, h, d;
};

struct virgl_resource_create_args {
    uint32_t handle;
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

/* resource_get_info()'s flags: row 0 is the top of the picture. */
enum { VIRGL_RESOURCE_Y_0_TOP = 1 };

struct virgl_resource_info {
    uint32_t handle;
    uint32_t virgl_format;
    uint32_t width;
    uint32_t height;
    uint32_t depth;
    uint32_t flags;
    uint32_t tex_id;
    uint32_t stride;
    int drm_fourcc;
    /* 1.x writes only the above through resource_get_info(), but a later release may write more. */
    uint32_t reserved[16];
};

/* Of 1.0 and later, which describe a texture's DMA buffer before it is exported. */
struct virgl_resource_info_ext {
    int version;
    struct {
        uint32_t handle, virgl_format, width, height, depth, flags, tex_id, stride;
        int drm_fourcc;
    } base;
    bool has_dmabuf_export;
    int planes;
    uint64_t modifiers;
    void *reserved[16]; /* what later ones add */
};

struct virgl_blob_args {
    uint32_t handle;
    uint32_t ctx_id;
    uint32_t blob_mem;
    uint32_t blob_flags;
    uint64_t blob_id;
    uint64_t size;
    const struct iovec *iovecs;
    uint32_t num_iovs;
};

/* What kind of file resource_export_blob() gives. */
enum { VIRGL_FD_DMABUF = 1, VIRGL_FD_OPAQUE, VIRGL_FD_SHM };

struct virgl_callbacks {
    int version;
    void (*write_fence)(void *cookie, uint32_t fence);
    void *(*create_gl_context)(void *cookie, int scanout, void *parameters);
    void (*destroy_gl_context)(void *cookie, void *context);
    int (*make_current)(void *cookie, int scanout, void *context);
    int (*get_drm_fd)(void *cookie);
    void (*write_context_fence)(void *cookie, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id);
    int (*get_server_fd)(void *cookie, uint32_t version);
    void *(*get_egl_display)(void *cookie);
};

/* Version 3 has write_context_fence and get_server_fd; every release from 0.10 on takes it. */
enum { VIRGL_CALLBACKS_VERSION = 3 };

typedef void (*virgl_debug_callback)(const char *format, va_list arguments);

/* VIRGL_FUNCTION(result, name, parameters): each release has these. */
#define VIRGL_FUNCTIONS                                                                            \
    VIRGL_FUNCTION(int, init, (void *cookie, int flags, struct virgl_callbacks *callbacks))        \
    VIRGL_FUNCTION(void, cleanup, (void *cookie))                                                  \
    VIRGL_FUNCTION(int, get_poll_fd, (void))                                                       \
    VIRGL_FUNCTION(void, poll, (void))                                                             \
    VIRGL_FUNCTION(void, force_ctx_0, (void))                                                      \
    VIRGL_FUNCTION(void, get_cap_set, (uint32_t set, uint32_t * max_version, uint32_t * max_size)) \
    VIRGL_FUNCTION(void, fill_caps, (uint32_t set, uint32_t version, void *caps))                  \
    VIRGL_FUNCTION(int, context_create, (uint32_t handle, uint32_t length, const char *name))      \
    VIRGL_FUNCTION(void, context_destroy, (uint32_t handle))                                       \
    VIRGL_FUNCTION(int, submit_cmd, (void *buffer, int ctx_id, int dwords))                        \
    VIRGL_FUNCTION(void, ctx_attach_resource, (int ctx_id, int handle))                            \
    VIRGL_FUNCTION(void, ctx_detach_resource, (int ctx_id, int handle))                            \
    VIRGL_FUNCTION(int, resource_create,                                                           \
                   (struct virgl_resource_create_args * args, struct iovec * iov, uint32_t count)) \
    VIRGL_FUNCTION(void, resource_unref, (uint32_t handle))                                        \
    VIRGL_FUNCTION(int, resource_attach_iov, (int handle, struct iovec *iov, int count))           \
    VIRGL_FUNCTION(void, resource_detach_iov, (int handle, struct iovec **iov, int *count))        \
    VIRGL_FUNCTION(int, resource_get_info, (int handle, struct virgl_resource_info *info))         \
    VIRGL_FUNCTION(int, transfer_read_iov,                                                         \
                   (uint32_t handle, uint32_t ctx_id, uint32_t level, uint32_t stride,             \
                    uint32_t layer_stride, struct virgl_box * box, uint64_t offset,                \
                    struct iovec * iov, int count))                                                \
    VIRGL_FUNCTION(int, transfer_write_iov,                                                        \
                   (uint32_t handle, uint32_t ctx_id, int level, uint32_t stride,                  \
                    uint32_t layer_stride, struct virgl_box *box, uint64_t offset,                 \
                    struct iovec *iov, unsigned int count))                                        \
    VIRGL_FUNCTION(int, create_fence, (int fence_id, uint32_t ctx_id))                             \
    VIRGL_FUNCTION(int, get_fd_for_texture2, (uint32_t texture, int *fd, int *stride, int *offset))

/* Looked up when the library is opened; a release may lack them. */
#define VIRGL_OPTIONAL_FUNCTIONS                                                                   \
    VIRGL_FUNCTION(int, context_create_with_flags,                                                 \
                   (uint32_t ctx_id, uint32_t flags, uint32_t length, const char *name))           \
    VIRGL_FUNCTION(int, context_create_fence,                                                      \
                   (uint32_t ctx_id, uint32_t flags, uint32_t ring_idx, uint64_t fence_id))

/* Likewise, and their lack is not logged. */
#define VIRGL_EXPORT_FUNCTIONS                                                                     \
    VIRGL_FUNCTION(int, resource_get_info_ext, (int handle, struct virgl_resource_info_ext *info))

/* Public since 1.0; without one of them there are no host blobs. */
#define VIRGL_BLOB_FUNCTIONS                                                                       \
    VIRGL_FUNCTION(int, resource_create_blob, (const struct virgl_blob_args *args))                \
    VIRGL_FUNCTION(int, resource_export_blob, (uint32_t handle, uint32_t * fd_type, int *fd))      \
    VIRGL_FUNCTION(int, resource_get_map_info, (uint32_t handle, uint32_t * map_info))

/* The library's functions, `name` for virgl_renderer_NAME; the optional ones may be NULL. */
struct virgl_api {
#define VIRGL_FUNCTION(result, name, parameters) result(*name) parameters;
    VIRGL_FUNCTIONS
    VIRGL_OPTIONAL_FUNCTIONS
    VIRGL_EXPORT_FUNCTIONS
    VIRGL_BLOB_FUNCTIONS
#undef VIRGL_FUNCTION
    virgl_debug_callback (*set_debug_callback)(virgl_debug_callback callback);
};

#endif
