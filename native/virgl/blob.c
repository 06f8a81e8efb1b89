/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl/blob.h"

#include <errno.h>
#include <unistd.h>

#include "virgl/context_0.h"

int virgl_blob_create(struct gpu_library *library, const struct host_blob *blob, struct iovec *iov,
                      uint32_t count) {
    const struct virgl_blob_args args = {
        .handle = blob->resource_id,
        .ctx_id = blob->ctx_id,
        .blob_mem = blob->blob_mem,
        .blob_flags = blob->blob_flags,
        .blob_id = blob->blob_id,
        .size = blob->size,
        .iovecs = iov,
        .num_iovs = count,
    };

    return api_in_context_0(library)->resource_create_blob(&args);
}

/* Where a blob begins in its file; -EOPNOTSUPP for a kind of file that is not known. */
static int place(uint32_t fd_type, uint64_t *offset) {
    switch (fd_type) {
    case VIRGL_FD_DMABUF:
    case VIRGL_FD_SHM:
        *offset = 0;
        return 0;
    case VIRGL_FD_OPAQUE:
        /* From a driver that draws in software: its notes about the allocation are in the first
         * page, and it trusts what it finds there. */
        *offset = (uint64_t)sysconf(_SC_PAGESIZE);
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

int virgl_blob_export(struct gpu_library *library, uint32_t resource_id,
                      struct blob_export *exported) {
    const struct virgl_api *api = api_in_context_0(library);
    uint32_t fd_type = 0;
    int error;

    if (api->resource_get_map_info(resource_id, &exported->map_info) != 0)
        exported->map_info = VIRTIO_GPU_MAP_CACHE_NONE;
    if (api->resource_export_blob(resource_id, &fd_type, &exported->fd) != 0 || exported->fd < 0)
        return -EOPNOTSUPP;
    exported->dmabuf = fd_type == VIRGL_FD_DMABUF;
    error = place(fd_type, &exported->offset);
    if (error < 0)
        close(exported->fd);
    return error;
}

/* Of what OpenGL has not made it says nothing. */
int virgl_blob_texture(struct gpu_library *library, uint32_t resource_id,
                       struct resource_3d *texture) {
    struct virgl_resource_info info = {0};

    /* It fails for formats that DRM has not, when it has filled this in. */
    api_of(library)->resource_get_info((int)resource_id, &info);
    if (info.tex_id == 0)
        return -ENOENT;
    *texture = (struct resource_3d){.resource_id = resource_id,
                                    .target = PIPE_TEXTURE_2D,
                                    .format = info.virgl_format,
                                    .width = info.width,
                                    .height = info.height,
                                    .depth = 1,
                                    .array_size = 1};
    return 0;
}
