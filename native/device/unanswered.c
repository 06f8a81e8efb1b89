/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/unanswered.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "ring/fault.h"

/* VIRTIO 1.2, 5.7.6.7: what a response repeats of its request. */
enum { REPEATED_FLAGS = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX };

struct virtio_gpu_ctrl_hdr response_header(uint32_t type,
                                           const struct virtio_gpu_ctrl_hdr *request) {
    struct virtio_gpu_ctrl_hdr header = {.type = type};

    if (!(request->flags & VIRTIO_GPU_FLAG_FENCE))
        return header;
    header.flags = request->flags & REPEATED_FLAGS;
    header.fence_id = request->fence_id;
    header.ctx_id = request->ctx_id;
    if (request->flags & VIRTIO_GPU_FLAG_INFO_RING_IDX)
        header.ring_idx = request->ring_idx;
    return header;
}

static void count(struct device *device, const struct virtio_gpu_ctrl_hdr *header) {
    struct counters *counters = &device->state->counters;

    counters->errors += header->type >= VIRTIO_GPU_RESP_ERR_UNSPEC;
    counters->out_of_memory += header->type == VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    counters->fences += (header->flags & VIRTIO_GPU_FLAG_FENCE) != 0;
}

void respond_now(struct device *device, const struct virtio_gpu_ctrl_hdr *request, uint32_t type) {
    struct virtio_gpu_ctrl_hdr header = response_header(type, request);
    uint32_t written = chain_write(&device->chain, device->memory, &header, sizeof(header));

    count(device, &header);
    queue_push(&device->queue, &device->chain, written);
}

/* --- later */

bool unanswered_keep(struct device *device, const struct virtio_gpu_ctrl_hdr *request) {
    const struct chain *chain = &device->chain;
    const struct chain_piece *piece = &chain->pieces[chain->readable];
    struct unanswered *unanswered =
        malloc(sizeof(*unanswered) + chain->writable * sizeof(unanswered->pieces[0]));

    if (unanswered == NULL)
        return false;
    unanswered->ticket = chain->ticket;
    unanswered->header = *request;
    unanswered->count = chain->writable;
    for (uint32_t i = 0; i < chain->writable; i++, piece++) {
        unanswered->pieces[i].guest_address = piece->guest_address;
        unanswered->pieces[i].length = piece->length;
    }
    device->unanswered[chain->ticket.entry] = unanswered;
    return true;
}

/* Nothing is written where guest memory has gone: its driver has lost that anyway. */
static uint32_t write_piece(struct device *device, uint64_t guest_address, uint32_t length,
                            const uint8_t *from) {
    uint64_t left = length;

    while (left > 0) {
        uint64_t there = left;
        uint8_t *to = guest_memory_find(device->memory, guest_address, &there);
        if (to == NULL)
            break;
        memcpy(to, from, there);
        guest_memory_dirty(device->memory, guest_address, there);
        guest_address += there;
        from += there;
        left -= there;
    }
    return length - (uint32_t)left;
}

struct answer {
    struct device *device;
    struct unanswered *unanswered;
    const uint8_t *response;
    uint32_t length;
};

static uint32_t scatter(const struct answer *answer, uint32_t offset, const void *from,
                        uint32_t length) {
    const struct unanswered *unanswered = answer->unanswered;
    uint32_t done = 0;

    for (uint32_t i = 0; i < unanswered->count && done < length; i++) {
        uint32_t room = unanswered->pieces[i].length, part, written;
        if (offset >= room) {
            offset -= room;
            continue;
        }
        part = smaller_u32(room - offset, length - done);
        written = write_piece(answer->device, unanswered->pieces[i].guest_address + offset, part,
                              (const uint8_t *)from + done);
        done += written;
        offset = 0;
        if (written < part)
            break;
    }
    return done;
}

static void write_answer(void *argument) {
    const struct answer *answer = argument;
    struct device *device = answer->device;
    struct virtio_gpu_ctrl_hdr header;
    uint32_t written;

    memcpy(&header, answer->response, sizeof(header));
    header = response_header(header.type, &answer->unanswered->header);
    count(device, &header);
    written = scatter(answer, 0, &header, sizeof(header));
    if (written == sizeof(header))
        written += scatter(answer, sizeof(header), answer->response + sizeof(header),
                           answer->length - (uint32_t)sizeof(header));
    queue_give_back(&device->queue, &answer->unanswered->ticket, written);
}

int unanswered_answer(struct device *device, uint32_t chain, const uint8_t *response,
                      uint32_t length) {
    struct answer answer = {.device = device, .response = response, .length = length};
    bool whole;

    answer.unanswered = device->unanswered[chain];
    device->unanswered[chain] = NULL;
    whole = device->queue.broken || fault_guarded(write_answer, &answer);
    free(answer.unanswered);
    return whole ? 0 : -EFAULT;
}

int device_respond(struct device *device, uint32_t chain, const uint8_t *response,
                   uint32_t length) {
    if (chain >= QUEUE_SIZE_MAX || device->unanswered[chain] == NULL)
        return -ENOENT;
    if (length < sizeof(struct virtio_gpu_ctrl_hdr))
        return -EINVAL;
    if (device->renderer->hold(device, chain, response, length))
        return 0;
    return unanswered_answer(device, chain, response, length);
}

void unanswered_refuse_all(struct device *device) {
    const struct virtio_gpu_ctrl_hdr error = {.type = VIRTIO_GPU_RESP_ERR_UNSPEC};

    for (uint32_t chain = 0; chain < QUEUE_SIZE_MAX; chain++)
        if (device->unanswered[chain] != NULL)
            unanswered_answer(device, chain, (const uint8_t *)&error, sizeof(error));
}

void unanswered_drop_all(struct device *device) {
    for (uint32_t chain = 0; chain < QUEUE_SIZE_MAX; chain++) {
        free(device->unanswered[chain]);
        device->unanswered[chain] = NULL;
    }
}

/* --- of another process */

static void refuse_adopted(struct device *device, uint16_t entry) {
    const struct chain_state *chain = &device->state->queues[0].chains[entry];
    const struct virtio_gpu_ctrl_hdr request = {.flags = chain->flags,
                                                .fence_id = chain->fence_id,
                                                .ctx_id = chain->ctx_id,
                                                .ring_idx = (uint8_t)chain->ring_idx};
    struct virtio_gpu_ctrl_hdr header = response_header(VIRTIO_GPU_RESP_ERR_UNSPEC, &request);
    struct chain_ticket ticket = {
        .id = chain->id, .descriptors = chain->descriptors, .entry = entry};
    uint32_t room = smaller_u32(chain->response_length, sizeof(header));

    count(device, &header);
    queue_give_back(&device->queue, &ticket,
                    write_piece(device, chain->response_address, room, (const uint8_t *)&header));
}

/* In the order in which they were taken. */
static int oldest_adopted(const struct device *device) {
    const struct chain_state *chains = device->state->queues[0].chains;
    int oldest = -1;

    for (int entry = 0; entry < STATE_CHAINS; entry++)
        if (chains[entry].in_flight &&
            (oldest < 0 || (int32_t)(chains[entry].sequence - chains[oldest].sequence) < 0))
            oldest = entry;
    return oldest;
}

void unanswered_refuse_adopted(struct device *device) {
    for (int entry = oldest_adopted(device); entry >= 0; entry = oldest_adopted(device))
        refuse_adopted(device, (uint16_t)entry);
}
