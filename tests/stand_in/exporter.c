/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Stands in for libvirglrenderer.so.1 on a machine without a GPU, and has textures exported: as
 * memory files with the pixels that the texture had then, which are no DMA buffers.  All else is
 * the real library's, which this one is linked to.
 *
 * Compiled with one of WORKS, FAILS, OFFSET and STRIDE (layouts that the display's messages have no
 * room for).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WORKS, FAILS, OFFSET, STRIDE };

struct info {
    uint32_t handle, virgl_format, width, height, depth, flags, tex_id, stride;
    int drm_fourcc;
    uint32_t reserved[16];
};

struct callbacks {
    int version;
    void *others[4];
    int (*get_drm_fd)(void *cookie);
};

static struct info last;

/* The allocation that vgpud looks for in a library. */
static void *pixels_of(size_t bytes) {
    return malloc(bytes);
}

static int no_drm_fd(void *cookie) {
    (void)cookie;
    return -1;
}

int virgl_renderer_init(void *cookie, int flags, struct callbacks *callbacks);
int virgl_renderer_init(void *cookie, int flags, struct callbacks *callbacks) {
    int (*real)(void *, int, struct callbacks *) = dlsym(RTLD_NEXT, "virgl_renderer_init");

    callbacks->get_drm_fd = no_drm_fd;
    return real(cookie, flags, callbacks);
}

/* The name of a renderer in software would be taken for what it is. */
void virgl_renderer_fill_caps(uint32_t set, uint32_t version, void *caps);
void virgl_renderer_fill_caps(uint32_t set, uint32_t version, void *caps) {
    void (*real)(uint32_t, uint32_t, void *) = dlsym(RTLD_NEXT, "virgl_renderer_fill_caps");

    real(set, version, caps);
    if (set == 2)
        strcpy((char *)caps + 696, "stand-in");
}

/* The texture that is exported next is one that was asked about before. */
int virgl_renderer_resource_get_info(int handle, struct info *info);
int virgl_renderer_resource_get_info(int handle, struct info *info) {
    int (*real)(int, struct info *) = dlsym(RTLD_NEXT, "virgl_renderer_resource_get_info");
    int error;

    memset(&last, 0, sizeof(last));
    error = real(handle, &last);
    last.drm_fourcc = 0x34325241; /* DRM_FORMAT_ARGB8888: the real one asks EGL */
    memcpy(info, &last, sizeof(*info) - sizeof(info->reserved));
    return error;
}

struct info_ext {
    int version;
    uint32_t base[9];
    bool has_dmabuf_export;
    int planes;
    uint64_t modifiers;
};

int virgl_renderer_resource_get_info_ext(int handle, struct info_ext *info);
int virgl_renderer_resource_get_info_ext(int handle, struct info_ext *info) {
    struct info base;
    int error = virgl_renderer_resource_get_info(handle, &base);

    memcpy(info->base, &base, sizeof(info->base));
    info->has_dmabuf_export = true;
    info->planes = 1;
    info->modifiers = 0; /* DRM_FORMAT_MOD_LINEAR */
    return error;
}

static void fill(int fd) {
    int (*read)(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t *, uint64_t,
                struct iovec *, int) = dlsym(RTLD_NEXT, "virgl_renderer_transfer_read_iov");
    size_t bytes = (size_t)last.width * last.height * 4;
    struct iovec iov = {pixels_of(bytes), bytes};
    uint32_t box[6] = {0, 0, 0, last.width, last.height, 1};

    read(last.handle, 0, 0, last.width * 4, 0, box, 0, &iov, 1);
    (void)!write(fd, iov.iov_base, bytes);
    free(iov.iov_base);
}

int virgl_renderer_get_fd_for_texture2(uint32_t tex_id, int *fd, int *stride, int *offset);
int virgl_renderer_get_fd_for_texture2(uint32_t tex_id, int *fd, int *stride, int *offset) {
    if (EXPORT == FAILS || tex_id != last.tex_id)
        return 22;
    *fd = memfd_create("texture", MFD_CLOEXEC);
    *stride = EXPORT == STRIDE ? 0 : (int)last.width * 4;
    *offset = EXPORT == OFFSET ? 4096 : 0;
    fill(*fd);
    return 0;
}
