/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl/layers.h"

#include <errno.h>
#include <stddef.h>

#include "render3d/resource_size.h"

/* `offset`: beyond the command's. */
typedef int (*transfer)(const struct virgl_api *api,
                        const struct virtio_gpu_transfer_host_3d *command, struct virgl_box *box,
                        uint64_t offset);

static int write(const struct virgl_api *api, const struct virtio_gpu_transfer_host_3d *command,
                 struct virgl_box *box, uint64_t offset) {
    return api->transfer_write_iov(command->resource_id, command->hdr.ctx_id, (int)command->level,
                                   command->stride, command->layer_stride, box,
                                   command->offset + offset, NULL, 0);
}

static int read(const struct virgl_api *api, const struct virtio_gpu_transfer_host_3d *command,
                struct virgl_box *box, uint64_t offset) {
    return api->transfer_read_iov(command->resource_id, command->hdr.ctx_id, command->level,
                                  command->stride, command->layer_stride, box,
                                  command->offset + offset, NULL, 0);
}

/* Bytes from one layer to the next where the guest does not say; 0: unknown. */
static uint64_t packed_stride(const struct virgl_api *api, const struct virgl_resource *resource,
                              const struct virtio_gpu_transfer_host_3d *command) {
    const struct virgl_resource_create_args *args = &resource->args;
    struct virgl_resource_info info = {0};
    uint64_t row = command->stride;

    if (virgl_format_compressed(args->format) || args->width == 0)
        return 0;
    /* It fails for formats that DRM has not, when it has filled this in. */
    api->resource_get_info((int)args->handle, &info);
    if (row == 0)
        row = (uint64_t)info.stride / args->width * virgl_at_level(args->width, command->level);
    return row * virgl_at_level(args->height, command->level);
}

static bool exist(const struct virgl_resource_create_args *args, uint32_t z, uint32_t d) {
    uint32_t layers = args->depth > args->array_size ? args->depth : args->array_size;

    return z < layers && d <= layers - z;
}

static int each_layer(const struct virgl_api *api, const struct virgl_resource *resource,
                      const struct virtio_gpu_transfer_host_3d *command, struct virgl_box box,
                      transfer transfer) {
    uint64_t stride = command->layer_stride, end;
    uint32_t count = box.d;
    int error = 0;

    if (stride == 0)
        stride = packed_stride(api, resource, command);
    if (stride == 0)
        return transfer(api, command, &box, 0);
    if (!exist(&resource->args, box.z, count) || __builtin_mul_overflow(stride, count, &end) ||
        __builtin_add_overflow(command->offset, end, &end))
        return -EINVAL;
    box.d = 1;
    for (uint32_t layer = 0; error == 0 && layer < count; layer++, box.z++)
        error = transfer(api, command, &box, layer * stride);
    return error;
}

static struct virgl_box box_of(const struct virtio_gpu_box *box) {
    return (struct virgl_box){
        .x = box->x, .y = box->y, .z = box->z, .w = box->w, .h = box->h, .d = box->d};
}

int virgl_write_layers(const struct virgl_api *api, const struct virgl_resource *resource,
                       const struct virtio_gpu_transfer_host_3d *command) {
    struct virgl_box box = box_of(&command->box);

    if (box.d <= 1 || resource->args.target != VIRGL_TARGET_CUBE)
        return write(api, command, &box, 0);
    return each_layer(api, resource, command, box, write);
}

int virgl_read_layers(const struct virgl_api *api, const struct virgl_resource *resource,
                      const struct virtio_gpu_transfer_host_3d *command) {
    struct virgl_box box = box_of(&command->box);

    if (box.d <= 1)
        return read(api, command, &box, 0);
    return each_layer(api, resource, command, box, read);
}
