/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl/export.h"

#include <unistd.h>

#include "virgl/context_0.h"

static struct present_buffer layout(uint32_t fourcc, uint32_t flags, uint64_t modifier) {
    return (struct present_buffer){
        .kind = PRESENT_BUFFER,
        .fourcc = fourcc,
        .flags = flags & VIRGL_RESOURCE_Y_0_TOP ? PRESENT_Y_0_TOP : 0,
        .modifier = modifier,
    };
}

/* These return NULL, or why not. */

static const char *look_ext(const struct virgl_api *api, uint32_t resource_id, uint32_t *tex_id,
                            struct present_buffer *buffer) {
    struct virgl_resource_info_ext info = {0};

    if (api->resource_get_info_ext((int)resource_id, &info) != 0)
        return "the library does not describe it";
    if (!info.has_dmabuf_export)
        return "the driver does not export it";
    if (info.planes != 1)
        return "it has more than one plane";
    *tex_id = info.base.tex_id;
    *buffer = layout((uint32_t)info.base.drm_fourcc, info.base.flags, info.modifiers);
    return NULL;
}

static const char *look(const struct virgl_api *api, uint32_t resource_id, uint32_t *tex_id,
                        struct present_buffer *buffer) {
    struct virgl_resource_info info = {0};

    if (api->resource_get_info_ext != NULL)
        return look_ext(api, resource_id, tex_id, buffer);
    if (api->resource_get_info((int)resource_id, &info) != 0)
        return "the library does not describe it";
    *tex_id = info.tex_id;
    *buffer = layout((uint32_t)info.drm_fourcc, info.flags, PRESENT_NO_MODIFIER);
    return NULL;
}

static const char *check(uint32_t fourcc, int stride, int offset) {
    if (fourcc == 0)
        return "DRM has no name for its format";
    if (stride <= 0)
        return "it has no stride";
    return offset != 0 ? "it does not begin where its buffer does" : NULL;
}

static const char *take(const struct virgl_api *api, uint32_t tex_id, int *fd,
                        struct present_buffer *buffer) {
    int stride = 0, offset = 0;
    const char *reason;

    if (tex_id == 0)
        return "it is not a texture";
    *fd = -1;
    if (api->get_fd_for_texture2(tex_id, fd, &stride, &offset) != 0 || *fd < 0)
        return "the driver does not export it";
    reason = check(buffer->fourcc, stride, offset);
    if (reason != NULL)
        close(*fd);
    buffer->stride = (uint32_t)stride;
    return reason;
}

const char *virgl_export_buffer(struct gpu_library *library, uint32_t resource_id, int *fd,
                                struct present_buffer *buffer) {
    const struct virgl_api *api = api_in_context_0(library);
    uint32_t tex_id = 0;
    const char *reason;

    reason = look(api, resource_id, &tex_id, buffer);
    return reason != NULL ? reason : take(api, tex_id, fd, buffer);
}

void virgl_flush_drawing(struct gpu_library *library) {
    api_in_context_0(library);
}
