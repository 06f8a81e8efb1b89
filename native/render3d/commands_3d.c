/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/commands_3d.h"

#include "render3d/context.h"
#include "render3d/render3d.h"
#include "render3d/texture.h"

/* The sign of the library's errors differs from call to call: anything but 0 is a failure. */
static uint32_t response_of(int result) {
    return result == 0 ? VIRTIO_GPU_RESP_OK_NODATA : VIRTIO_GPU_RESP_ERR_UNSPEC;
}

/* --- SUBMIT_3D */

/* The guest could change its stream while it is executed, so it is copied first. */
uint32_t submit_3d(struct device *device, const void *request) {
    const struct virtio_gpu_cmd_submit *command = request;
    struct render3d *render3d = device->render3d;
    struct context *context = context_find(render3d, command->hdr.ctx_id);
    uint8_t *stream;
    uint64_t bytes = command->size;

    if (context == NULL)
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    if (bytes > device->limits.submit_bytes || !scratch_make_room(&render3d->stream, bytes))
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    stream = render3d->stream.bytes;
    if (bytes % sizeof(uint32_t) != 0 ||
        chain_read(&device->chain, sizeof(*command), stream, bytes) != bytes)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (context->waiting_count > 0)
        context_settle(device, context);
    render3d->drawing |= !context->vulkan;
    return response_of(
        render3d->library->operations->submit(render3d->library, context->ctx_id, stream, bytes));
}

/* --- transfers */

/* Tells the library of the resource and, in the context, of what was attached; OK_NODATA or why
 *not. */
static uint32_t prepare(struct device *device, struct resource *resource, uint32_t ctx_id) {
    struct context *context;

    if (resource == NULL)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (ctx_id != 0) {
        context = context_find(device->render3d, ctx_id);
        if (context == NULL)
            return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
        if (context->waiting_count > 0)
            context_settle(device, context);
    }
    if (texture_promote(device, resource) < 0 || resource->texture->iov == NULL)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    device->render3d->drawing = true;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static struct gpu_transfer transfer_of(const struct resource *resource,
                                       const struct virtio_gpu_transfer_host_3d *command) {
    return (struct gpu_transfer){.resource = &resource->texture->created,
                                 .ctx_id = command->hdr.ctx_id,
                                 .level = command->level,
                                 .stride = command->stride,
                                 .layer_stride = command->layer_stride,
                                 .box = command->box,
                                 .offset = command->offset,
                                 .backing_bytes = texture_backing_bytes(resource)};
}

uint32_t transfer_to_host_3d(struct device *device, const void *request) {
    const struct virtio_gpu_transfer_host_3d *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    uint32_t prepared = prepare(device, resource, command->hdr.ctx_id);
    struct gpu_transfer transfer;

    if (prepared != VIRTIO_GPU_RESP_OK_NODATA)
        return prepared;
    device->state->counters.transfers++;
    transfer = transfer_of(resource, command);
    return response_of(
        library_of(device)->operations->transfer_to_host(library_of(device), &transfer));
}

uint32_t transfer_from_host_3d(struct device *device, const void *request) {
    const struct virtio_gpu_transfer_host_3d *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    uint32_t prepared = prepare(device, resource, command->hdr.ctx_id);
    struct gpu_transfer transfer;

    if (prepared != VIRTIO_GPU_RESP_OK_NODATA)
        return prepared;
    device->state->counters.transfers++;
    if (guest_memory_logging(device->memory))
        backing_dirty(resource->backing, device->memory);
    transfer = transfer_of(resource, command);
    return response_of(
        library_of(device)->operations->transfer_from_host(library_of(device), &transfer));
}
