/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* dladdr */
#include "render3d/export.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "render3d/render3d.h"
#include "shared/limited_log.h"

/* Of 1.0 and later, which say what a texture's DMA buffer is before it is exported. */
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

static struct limited_log export_log = LIMITED_LOG("display", PRIORITY_WARNING);

static void say(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    limited_log_write(&export_log, format, arguments);
    va_end(arguments);
}

/* POSIX lets dlsym's result be a function's address; C has no cast for it. */
static void find(void *library, const char *name, void *place) {
    void *address = dlsym(library, name);

    memcpy(place, &address, sizeof(address));
}

int device_export_buffers(struct device *device, int told) {
    struct virgl_export *export = &device->virgl->export;
    Dl_info info;
    void *library, *function;

    memcpy(&function, &device->virgl->virgl->api.init, sizeof(function));
    if (dladdr(function, &info) == 0)
        return -ENOSYS;
    library = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    if (library == NULL)
        return -ENOSYS;
    find(library, "virgl_renderer_force_ctx_0", &export->force_ctx_0);
    find(library, "virgl_renderer_resource_get_info_ext", &export->get_info_ext);
    dlclose(library);
    export->enabled = export->force_ctx_0 != NULL;
    export->told = told != 0;
    return export->enabled ? 0 : -ENOSYS;
}

/* --- one texture */

struct texture {
    uint32_t tex_id;
    struct present_buffer buffer;
};

static struct present_buffer layout(uint32_t fourcc, uint32_t flags, uint64_t modifier) {
    return (struct present_buffer){
        .kind = PRESENT_BUFFER,
        .fourcc = fourcc,
        .flags = flags & VIRGL_RESOURCE_Y_0_TOP ? PRESENT_Y_0_TOP : 0,
        .modifier = modifier,
    };
}

/* NULL, or why not. */
static const char *look_ext(const struct virgl_export *export, uint32_t resource_id,
                            struct texture *texture) {
    struct virgl_resource_info_ext info = {0};

    if (export->get_info_ext((int)resource_id, &info) != 0)
        return "the library does not describe it";
    if (!info.has_dmabuf_export)
        return "the driver does not export it";
    if (info.planes != 1)
        return "it has more than one plane";
    *texture = (struct texture){
        .tex_id = info.base.tex_id,
        .buffer = layout((uint32_t)info.base.drm_fourcc, info.base.flags, info.modifiers)};
    return NULL;
}

static const char *look(const struct device *device, uint32_t resource_id,
                        struct texture *texture) {
    struct virgl_resource_info info = {0};

    if (device->virgl->export.get_info_ext != NULL)
        return look_ext(&device->virgl->export, resource_id, texture);
    if (device->virgl->virgl->api.resource_get_info((int)resource_id, &info) != 0)
        return "the library does not describe it";
    *texture = (struct texture){
        .tex_id = info.tex_id,
        .buffer = layout((uint32_t)info.drm_fourcc, info.flags, PRESENT_NO_MODIFIER)};
    return NULL;
}

static const char *check(const struct texture *texture, int stride, int offset) {
    if (texture->buffer.fourcc == 0)
        return "DRM has no name for its format";
    if (stride <= 0)
        return "it has no stride";
    return offset != 0 ? "it does not begin where its buffer does" : NULL;
}

/* Of one plane that begins at offset 0: the display's messages have no more. */
static const char *export(const struct device *device, struct texture *texture, int *fd) {
    int stride = 0, offset = 0;
    const char *reason;

    if (texture->tex_id == 0)
        return "it is no texture";
    *fd = -1;
    if (device->virgl->virgl->api.get_fd_for_texture2(texture->tex_id, fd, &stride, &offset) != 0 ||
        *fd < 0)
        return "the driver does not export it";
    reason = check(texture, stride, offset);
    if (reason != NULL)
        close(*fd);
    texture->buffer.stride = (uint32_t)stride;
    return reason;
}

static const char *take(struct device *device, struct resource *resource) {
    struct texture texture;
    const char *reason;
    int fd;

    if (device->virgl->export.count == VIRGL_EXPORTED_MAX)
        return "there are too many";
    device->virgl->export.force_ctx_0(); /* whose textures they are */
    reason = look(device, resource->resource_id, &texture);
    if (reason == NULL)
        reason = export(device, &texture, &fd);
    if (reason != NULL)
        return reason;
    resource->exported = malloc(sizeof(*resource->exported));
    if (resource->exported == NULL) {
        close(fd);
        return "no memory";
    }
    texture.buffer.width = resource->canvas->width;
    texture.buffer.height = resource->canvas->height;
    *resource->exported = (struct exported){.fd = fd, .buffer = texture.buffer};
    device->virgl->export.count++;
    return NULL;
}

void virgl_export_take(struct device *device, struct resource *resource) {
    const char *reason;

    if (!device->virgl->export.enabled)
        return;
    reason = take(device, resource);
    if (reason == NULL || !device->virgl->export.told)
        return;
    device->virgl->export.told = false;
    say("resource %u cannot be shown from a DMA buffer (%s): its pixels are sent",
        resource->resource_id, reason);
}

void virgl_export_close(struct device *device, struct resource *resource) {
    if (resource->exported == NULL)
        return;
    close(resource->exported->fd);
    free(resource->exported);
    resource->exported = NULL;
    device->virgl->export.count--;
}

/* To make another context current flushes the one before; a fence flushes the one that is. */
void virgl_export_finish(struct device *device) {
    struct virgl_device *virgl = device->virgl;

    if (virgl->drawing)
        virgl->virgl->api.create_fence((int)++virgl->last_fence, 0);
    device->virgl->export.force_ctx_0();
}
