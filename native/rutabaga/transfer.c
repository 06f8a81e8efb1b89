/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "rutabaga/transfer.h"

#include <errno.h>
#include <string.h>

#include "render3d/resource_size.h"
#include "rutabaga/blob.h"

/*
 * The library addresses memory as if it held the whole resource, in rows as long as the resource is
 * wide, but render3d gives it only the rectangle.
 */

enum { PIXEL_BYTES = 4 };

static uint64_t row_of(const struct gpu_transfer *transfer) {
    return (uint64_t)transfer->resource->width * PIXEL_BYTES;
}

/* Where the box begins in the whole. */
static uint64_t position_of(const struct gpu_transfer *transfer) {
    return transfer->box.y * row_of(transfer) + (uint64_t)transfer->box.x * PIXEL_BYTES;
}

static struct rutabaga_transfer described(const struct gpu_transfer *transfer) {
    return (struct rutabaga_transfer){.x = transfer->box.x,
                                      .y = transfer->box.y,
                                      .z = transfer->box.z,
                                      .w = transfer->box.w,
                                      .h = transfer->box.h,
                                      .d = transfer->box.d,
                                      .level = transfer->level,
                                      .stride = transfer->stride,
                                      .layer_stride = transfer->layer_stride,
                                      .offset = transfer->offset};
}

static bool within(const struct gpu_transfer *transfer) {
    const struct resource_3d *resource = transfer->resource;
    const struct virtio_gpu_box *box = &transfer->box;

    return box->x <= resource->width && box->w <= resource->width - box->x &&
           box->y <= resource->height && box->h <= resource->height - box->y;
}

/*
 * gfxstream copies all of a texture by way of a buffer that is as long as its backing, and does not
 * look whether it fits; of blobs it has no such buffer.
 */
static bool can_copy(struct rutabaga_started *started, const struct gpu_transfer *transfer) {
    return !rutabaga_draws(started) ||
           (!rutabaga_blob_is(&started->library, transfer->resource->resource_id) &&
            transfer->backing_bytes >= resource_3d_bytes(transfer->resource));
}

/* --- to the host */

static int write(struct rutabaga_started *started, const struct gpu_transfer *transfer) {
    struct rutabaga_transfer args = described(transfer);

    /* Its 2D mode adds the box's position to the offset, which drivers have included already, and
     * it forgets a resource's contents after a refused transfer. */
    if (started->planar) {
        if (!within(transfer) || args.offset < position_of(transfer))
            return -EINVAL;
        args.offset -= position_of(transfer);
    }
    return started->api.resource_transfer_write(started->handle, transfer->ctx_id,
                                                transfer->resource->resource_id, &args);
}

/* Writes all of a resource that has no backing yet: the library writes only from a backing. */
static int write_from(struct rutabaga_started *started, const struct gpu_transfer *transfer) {
    uint32_t resource_id = transfer->resource->resource_id;
    const struct rutabaga_iovecs iovecs = {transfer->iov, transfer->iov_count};
    int error;

    if (position_of(transfer) != 0 || transfer->stride != row_of(transfer))
        return -EINVAL;
    error = started->api.resource_attach_backing(started->handle, resource_id, &iovecs);
    if (error != 0)
        return error;
    error = write(started, transfer);
    started->api.resource_detach_backing(started->handle, resource_id);
    return error;
}

int rutabaga_transfer_to_host(struct gpu_library *library, const struct gpu_transfer *transfer) {
    struct rutabaga_started *started = started_of(library);

    if (transfer->iov != NULL)
        return write_from(started, transfer);
    return can_copy(started, transfer) ? write(started, transfer) : -EINVAL;
}

/* --- from the host */

/* Reads into memory that holds the whole resource from `whole` on, but touches only the box; `room`
 * is how much there is from the box's beginning. */
static int read(struct rutabaga_started *started, const struct gpu_transfer *transfer,
                uint8_t *whole, uint64_t room) {
    struct rutabaga_transfer args = described(transfer);
    struct iovec iov = {whole, position_of(transfer) + room};

    args.stride = (uint32_t)row_of(transfer);
    args.offset = 0;
    return started->api.resource_transfer_read(started->handle, transfer->ctx_id,
                                               transfer->resource->resource_id, &args, &iov);
}

/* By rows that are as long as the resource is wide. */
static int read_rows(struct rutabaga_started *started, const struct gpu_transfer *transfer) {
    uint64_t row = row_of(transfer), bytes = row * transfer->box.h;
    uint64_t length = (uint64_t)transfer->box.w * PIXEL_BYTES;
    uint8_t *to = transfer->iov->iov_base, *from;
    int error;

    if (!scratch_make_room(&started->pixels, bytes))
        return -ENOMEM;
    from = started->pixels.bytes + (uint64_t)transfer->box.x * PIXEL_BYTES;
    error = read(started, transfer, from - position_of(transfer),
                 bytes - (uint64_t)transfer->box.x * PIXEL_BYTES);
    for (uint32_t y = 0; error == 0 && y < transfer->box.h; y++)
        memcpy(to + y * (uint64_t)transfer->stride, from + y * row, length);
    return error;
}

static int read_to_iov(struct rutabaga_started *started, const struct gpu_transfer *transfer) {
    if (!within(transfer) || transfer->iov_count != 1)
        return -EINVAL;
    if (transfer->stride != row_of(transfer))
        return read_rows(started, transfer);
    return read(started, transfer, (uint8_t *)transfer->iov->iov_base - position_of(transfer),
                transfer->iov->iov_len);
}

/* Lends it a backing. */
static int read_without_backing(struct rutabaga_started *started,
                                const struct gpu_transfer *transfer) {
    uint32_t resource_id = transfer->resource->resource_id;
    uint64_t bytes = resource_3d_bytes(transfer->resource);
    struct gpu_transfer backed = *transfer;
    struct iovec iov;
    const struct rutabaga_iovecs iovecs = {&iov, 1};
    int error;

    if (!scratch_make_room(&started->backing, bytes))
        return -ENOMEM;
    iov = (struct iovec){started->backing.bytes, bytes};
    error = started->api.resource_attach_backing(started->handle, resource_id, &iovecs);
    if (error != 0)
        return error;
    backed.backing_bytes = bytes;
    error = read_to_iov(started, &backed);
    started->api.resource_detach_backing(started->handle, resource_id);
    return error;
}

int rutabaga_transfer_from_host(struct gpu_library *library, const struct gpu_transfer *transfer) {
    struct rutabaga_started *started = started_of(library);
    struct rutabaga_transfer args = described(transfer);

    if (transfer->iov != NULL && transfer->backing_bytes == 0 && rutabaga_draws(started))
        return read_without_backing(started, transfer);
    if (!can_copy(started, transfer))
        return -EINVAL;
    if (transfer->iov != NULL)
        return read_to_iov(started, transfer);
    return started->api.resource_transfer_read(started->handle, transfer->ctx_id,
                                               transfer->resource->resource_id, &args, NULL);
}
