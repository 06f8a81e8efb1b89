/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl/layers.h"

#include <errno.h>
#include <stdbool.h>

#include "render3d/resource_size.h"
#include "virgl/context_0.h"

/* Transfers one part: `box`, at `offset` beyond the transfer's. */
typedef int (*part)(const struct virgl_api *api, const struct gpu_transfer *transfer,
                    struct virgl_box *box, uint64_t offset);

static int write(const struct virgl_api *api, const struct gpu_transfer *transfer,
                 struct virgl_box *box, uint64_t offset) {
    return api->transfer_write_iov(
        transfer->resource->resource_id, transfer->ctx_id, (int)transfer->level, transfer->stride,
        transfer->layer_stride, box, transfer->offset + offset, transfer->iov, transfer->iov_count);
}

static int read(const struct virgl_api *api, const struct gpu_transfer *transfer,
                struct virgl_box *box, uint64_t offset) {
    return api->transfer_read_iov(transfer->resource->resource_id, transfer->ctx_id,
                                  transfer->level, transfer->stride, transfer->layer_stride, box,
                                  transfer->offset + offset, transfer->iov,
                                  (int)transfer->iov_count);
}

/* Bytes from one layer to the next where the guest does not say; 0: unknown. */
static uint64_t packed_stride(const struct virgl_api *api, const struct gpu_transfer *transfer) {
    const struct resource_3d *resource = transfer->resource;
    struct virgl_resource_info info = {0};
    uint64_t row = transfer->stride;

    if (format_compressed(resource->format) || resource->width == 0)
        return 0;
    /* It fails for formats that DRM lacks, but only after it has filled this in. */
    api->resource_get_info((int)resource->resource_id, &info);
    if (row == 0)
        row = (uint64_t)info.stride / resource->width *
              size_at_level(resource->width, transfer->level);
    return row * size_at_level(resource->height, transfer->level);
}

static bool exist(const struct resource_3d *resource, uint32_t z, uint32_t d) {
    uint32_t layers =
        resource->depth > resource->array_size ? resource->depth : resource->array_size;

    return z < layers && d <= layers - z;
}

static int each_layer(const struct virgl_api *api, const struct gpu_transfer *transfer,
                      struct virgl_box box, part part) {
    uint64_t stride = transfer->layer_stride, end;
    uint32_t count = box.d;
    int error = 0;

    if (stride == 0)
        stride = packed_stride(api, transfer);
    if (stride == 0)
        return part(api, transfer, &box, 0);
    if (!exist(transfer->resource, box.z, count) || __builtin_mul_overflow(stride, count, &end) ||
        __builtin_add_overflow(transfer->offset, end, &end))
        return -EINVAL;
    box.d = 1;
    for (uint32_t layer = 0; error == 0 && layer < count; layer++, box.z++)
        error = part(api, transfer, &box, layer * stride);
    return error;
}

static struct virgl_box box_of(const struct virtio_gpu_box *box) {
    return (struct virgl_box){
        .x = box->x, .y = box->y, .z = box->z, .w = box->w, .h = box->h, .d = box->d};
}

static const struct virgl_api *api_for(struct gpu_library *library,
                                       const struct gpu_transfer *transfer) {
    return transfer->ctx_id == 0 ? api_in_context_0(library) : api_leaving_context_0(library);
}

int virgl_transfer_to_host(struct gpu_library *library, const struct gpu_transfer *transfer) {
    const struct virgl_api *api = api_for(library, transfer);
    struct virgl_box box = box_of(&transfer->box);

    if (box.d <= 1 || transfer->resource->target != PIPE_TEXTURE_CUBE)
        return write(api, transfer, &box, 0);
    return each_layer(api, transfer, box, write);
}

int virgl_transfer_from_host(struct gpu_library *library, const struct gpu_transfer *transfer) {
    const struct virgl_api *api = api_for(library, transfer);
    struct virgl_box box = box_of(&transfer->box);

    if (box.d <= 1)
        return read(api, transfer, &box, 0);
    return each_layer(api, transfer, box, read);
}
