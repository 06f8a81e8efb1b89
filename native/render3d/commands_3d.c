/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/commands_3d.h"

#include <errno.h>
#include <stdlib.h>

#include "device/burst.h"
#include "device/commands_2d.h"
#include "device/scanout.h"
#include "render3d/context.h"
#include "render3d/export.h"
#include "render3d/held.h"
#include "render3d/render3d.h"
#include "render3d/scratch.h"
#include "render3d/texture.h"
#include "virgl/layers.h"
#include "virgl/log.h"

static const struct virgl_api *api_of(const struct device *device) {
    return &device->virgl->virgl->api;
}

/* The library's signs differ from one call to the next: anything but 0 is a failure. */
static uint32_t response_of(int result) {
    return result == 0 ? VIRTIO_GPU_RESP_OK_NODATA : VIRTIO_GPU_RESP_ERR_UNSPEC;
}

/* --- SUBMIT_3D */

/* The guest could change what it has sent while it is read, so it is read once. */
static uint32_t submit_3d(struct device *device, const void *request) {
    const struct virtio_gpu_cmd_submit *command = request;
    struct virgl_device *virgl = device->virgl;
    struct virgl_context *context = virgl_context_find(virgl, command->hdr.ctx_id);
    uint64_t bytes = command->size;

    if (context == NULL)
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    if (bytes > device->limits.submit_bytes ||
        !scratch_make_room(&virgl->stream, &virgl->stream_room, bytes))
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    if (bytes % sizeof(uint32_t) != 0 ||
        chain_read(&device->chain, sizeof(*command), virgl->stream, bytes) != bytes)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (context->waiting_count > 0)
        virgl_context_settle(device, context);
    virgl->drawing = true;
    return response_of(api_of(device)->submit_cmd(virgl->stream, (int)context->ctx_id,
                                                  (int)(bytes / sizeof(uint32_t))));
}

/* --- transfers */

/* Makes the library know the resource and, in the context, what was attached; OK_NODATA or why not.
 */
static uint32_t prepare(struct device *device, struct resource *resource, uint32_t ctx_id) {
    struct virgl_context *context;

    if (resource == NULL)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (ctx_id != 0) {
        context = virgl_context_find(device->virgl, ctx_id);
        if (context == NULL)
            return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
        if (context->waiting_count > 0)
            virgl_context_settle(device, context);
    }
    if (virgl_resource_promote(device, resource) < 0 || resource->virgl->iov == NULL)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    device->virgl->drawing = true;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t transfer_to_host_3d(struct device *device, const void *request) {
    const struct virtio_gpu_transfer_host_3d *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    uint32_t prepared = prepare(device, resource, command->hdr.ctx_id);

    if (prepared != VIRTIO_GPU_RESP_OK_NODATA)
        return prepared;
    device->state->counters.transfers++;
    return response_of(virgl_write_layers(api_of(device), resource->virgl, command));
}

static uint32_t transfer_from_host_3d(struct device *device, const void *request) {
    const struct virtio_gpu_transfer_host_3d *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    uint32_t prepared = prepare(device, resource, command->hdr.ctx_id);

    if (prepared != VIRTIO_GPU_RESP_OK_NODATA)
        return prepared;
    device->state->counters.transfers++;
    if (guest_memory_logging(device->memory))
        backing_dirty(resource->backing, device->memory);
    return response_of(virgl_read_layers(api_of(device), resource->virgl, command));
}

/* --- 2D commands on what the library has */

/* A cursor is shown from its image, whoever else may use it. */
static bool is_cursor(const struct resource *resource) {
    return resource->canvas != NULL && resource->canvas->width <= 64 &&
           resource->canvas->height <= 64;
}

static uint32_t transfer_to_host(struct device *device, const void *request) {
    const struct virtio_gpu_transfer_to_host_2d *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    struct virgl_box box = {.x = command->r.x,
                            .y = command->r.y,
                            .w = command->r.width,
                            .h = command->r.height,
                            .d = 1};

    if (resource == NULL || resource->virgl == NULL)
        return transfer_to_host_2d(device, request);
    if (is_cursor(resource)) {
        uint32_t type = transfer_to_host_2d(device, request);
        if (type != VIRTIO_GPU_RESP_OK_NODATA)
            return type;
    }
    if (resource->virgl->iov == NULL)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    device->virgl->drawing = true;
    device->state->counters.transfers++;
    return response_of(api_of(device)->transfer_write_iov(command->resource_id, 0, 0, 0, 0, &box,
                                                          command->offset, NULL, 0));
}

static struct rectangle rectangle_of(const struct virtio_gpu_rect *rect) {
    return (struct rectangle){
        .x = rect->x, .y = rect->y, .width = rect->width, .height = rect->height};
}

/* What the scanouts show of a resource as pixels, in one rectangle. */
static struct rectangle shown_of(const struct device *device, const struct resource *resource) {
    struct rectangle shown = {0};

    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        if (device->scanouts[scanout_id].resource == resource &&
            !scanout_by_buffer(&device->scanouts[scanout_id]))
            shown = rectangle_around(&shown, &device->scanouts[scanout_id].shown);
    return shown;
}

/* The flushed rectangle, for those scanouts that show it as pixels. */
static uint32_t read_back(struct device *device, struct resource *resource,
                          const struct rectangle *flushed) {
    struct rectangle shown = shown_of(device, resource);
    /* While it was shown from a DMA buffer, nothing was read back. */
    struct rectangle seen = resource->exported != NULL ? shown : rectangle_common(flushed, &shown);

    if (rectangle_empty(&seen))
        return VIRTIO_GPU_RESP_OK_NODATA;
    burst_expect_copy(device, image_stride(seen.width) * seen.height);
    return virgl_resource_read_back(device, resource, &seen) == 0 ? VIRTIO_GPU_RESP_OK_NODATA
                                                                  : VIRTIO_GPU_RESP_ERR_UNSPEC;
}

static uint32_t flush(struct device *device, const void *request) {
    const struct virtio_gpu_resource_flush *command = request;
    struct resource *resource = resource_table_find(&device->resources, command->resource_id);
    struct rectangle rectangle = rectangle_of(&command->r);
    uint32_t type;

    if (resource == NULL || resource->virgl == NULL)
        return resource_flush(device, request);
    if (!rectangle_within(&rectangle, resource->virgl->args.width, resource->virgl->args.height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (!resource->shown)
        return VIRTIO_GPU_RESP_OK_NODATA;
    if (resource->exported != NULL)
        virgl_export_finish(device);
    type = read_back(device, resource, &rectangle);
    return type == VIRTIO_GPU_RESP_OK_NODATA ? resource_flush(device, request) : type;
}

/* --- the renderer */

static void destroyed(struct device *device, struct resource *resource) {
    virgl_export_close(device, resource);
    virgl_contexts_forget(device->virgl, resource->resource_id);
    virgl_resource_destroy(device, resource);
}

static void reset(struct device *device) {
    virgl_hold_forget(device);
    virgl_contexts_destroy_all(device->virgl);
}

static const struct command VIRGL_COMMANDS[] = {
    {.type = VIRTIO_GPU_CMD_SUBMIT_3D,
     .request_bytes = sizeof(struct virtio_gpu_cmd_submit),
     .execute = submit_3d,
     .any_length = true},
    {.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
     .request_bytes = sizeof(struct virtio_gpu_transfer_to_host_2d),
     .execute = transfer_to_host},
    {.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
     .request_bytes = sizeof(struct virtio_gpu_resource_flush),
     .execute = flush},
    {.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
     .request_bytes = sizeof(struct virtio_gpu_transfer_host_3d),
     .execute = transfer_to_host_3d},
    {.type = VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
     .request_bytes = sizeof(struct virtio_gpu_transfer_host_3d),
     .execute = transfer_from_host_3d},
    {0},
};

static const struct renderer_hooks VIRGL_HOOKS = {
    .make_canvas = virgl_resource_make_canvas,
    .export_buffer = virgl_export_take,
    .read_back = virgl_resource_read_back,
    .backing_changed = virgl_resource_backing_changed,
    .destroyed = destroyed,
    .reset = reset,
    .hold = virgl_hold,
    .release = virgl_release,
    .release_fd = virgl_release_fd,
};

static const struct renderer VIRGL = {
    .commands = VIRGL_COMMANDS, .draws = true, .hooks = &VIRGL_HOOKS};

int device_set_virgl(struct device *device, struct virgl *virgl) {
    device->virgl = calloc(1, sizeof(*device->virgl));
    if (device->virgl == NULL)
        return -ENOMEM;
    device->virgl->virgl = virgl;
    device->renderer = &VIRGL;
    virgl_log_started();
    return 0;
}
