/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/held.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "device/unanswered.h"
#include "render3d/render3d.h"

enum { STOP_MILLISECONDS = 200 };

/* --- the list, in the order of the answers */

static bool same_timeline(const struct virgl_held *held, bool of_ring, uint32_t ctx_id,
                          uint32_t ring_idx) {
    return held->of_ring == of_ring &&
           (!of_ring || (held->ctx_id == ctx_id && held->ring_idx == ring_idx));
}

static bool under_way(struct virgl_device *virgl, bool of_ring, uint32_t ctx_id,
                      uint32_t ring_idx) {
    for (uint32_t i = 0; i < virgl->held_count; i++)
        if (same_timeline(&virgl->held[i], of_ring, ctx_id, ring_idx))
            return true;
    return false;
}

/* --- holding */

/* Whether the library has a timeline for the request; others go to the one of all contexts. */
static bool create_ring_fence(struct virgl_device *virgl, struct virgl_held *held) {
    const struct virgl_api *api = &virgl->virgl->api;

    return held->of_ring && api->context_create_fence != NULL &&
           api->context_create_fence(held->ctx_id, VIRGL_FENCE_MERGEABLE, held->ring_idx,
                                     held->fence) == 0;
}

static bool create_fence(struct virgl_device *virgl, struct virgl_held *held) {
    held->fence = ++virgl->last_ring_fence;
    if (create_ring_fence(virgl, held))
        return true;
    held->of_ring = false;
    held->fence = ++virgl->last_fence;
    return virgl->virgl->api.create_fence((int)virgl->last_fence, 0) == 0;
}

static bool keep_response(struct virgl_held *held, const uint8_t *response, uint32_t length) {
    held->length = length;
    if (length <= sizeof(held->header)) {
        memcpy(&held->header, response, length);
        return true;
    }
    held->response = malloc(length);
    if (held->response == NULL)
        return false;
    memcpy(held->response, response, length);
    return true;
}

bool virgl_hold(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length) {
    const struct virtio_gpu_ctrl_hdr *request = &device->unanswered[chain]->header;
    struct virgl_device *virgl = device->virgl;
    struct virgl_held held = {.chain = chain,
                              .ctx_id = request->ctx_id,
                              .ring_idx = request->ring_idx,
                              .of_ring = (request->flags & VIRTIO_GPU_FLAG_INFO_RING_IDX) != 0};

    if (!(request->flags & VIRTIO_GPU_FLAG_FENCE) || virgl->held_count == QUEUE_SIZE_MAX)
        return false;
    if (!virgl->drawing && !under_way(virgl, held.of_ring, held.ctx_id, held.ring_idx))
        return false;
    if (!create_fence(virgl, &held) || !keep_response(&held, response, length))
        return false;
    /* From here on something is under way only when it was begun later, or is in the list. */
    virgl->drawing = virgl->drawing && held.of_ring;
    virgl->held[virgl->held_count++] = held;
    return true;
}

/* --- releasing */

static void answer(struct device *device, struct virgl_held *held) {
    const uint8_t *response = held->response ? held->response : (const uint8_t *)&held->header;

    unanswered_answer(device, held->chain, response, held->length);
    free(held->response);
}

static bool ring_passed(const struct virgl_held *held, const struct retired_fence *retired,
                        uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (retired[i].ctx_id == held->ctx_id && retired[i].ring_idx == held->ring_idx &&
            held->fence <= retired[i].fence_id)
            return true;
    return false;
}

/* Answers in order what has passed, and closes the gaps. */
static void release(struct device *device, const struct retired_fence *retired, uint32_t count,
                    bool all) {
    struct virgl_device *virgl = device->virgl;
    uint32_t kept = 0, held_count = virgl->held_count;

    for (uint32_t i = 0; i < held_count; i++) {
        struct virgl_held held = virgl->held[i];
        bool passed = held.of_ring ? ring_passed(&held, retired, count)
                                   : fence_ring_passed(&virgl->virgl->fences, (uint32_t)held.fence);
        if (all || passed)
            answer(device, &held);
        else
            virgl->held[kept++] = held;
    }
    virgl->held_count = kept;
}

static bool readable(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return fd >= 0 && poll(&one, 1, 0) > 0;
}

static void take_and_release(struct device *device) {
    struct retired_fence retired[64];
    uint32_t count;

    if (readable(device->virgl->virgl->poll_fd))
        device->virgl->virgl->api.poll();
    count = fence_ring_take(&device->virgl->virgl->fences, retired, 64);

    release(device, retired, count, false);
}

/* The queue stops and nothing may be written afterwards: the GPU gets a moment to finish. */
static void release_all(struct device *device) {
    struct pollfd fd = {.fd = virgl_release_fd(device), .events = POLLIN};

    while (device->virgl->held_count > 0 && poll(&fd, 1, STOP_MILLISECONDS) > 0)
        take_and_release(device);
    release(device, NULL, 0, true);
}

bool virgl_release(struct device *device, bool all) {
    if (device->virgl->held_count == 0)
        return false;
    if (all)
        release_all(device);
    else
        take_and_release(device);
    return device->virgl->held_count > 0;
}

int virgl_release_fd(const struct device *device) {
    /* Nothing to hear of while nothing waits, though the library may call back late. */
    return device->virgl->held_count > 0 ? device->virgl->virgl->wake_fd : -1;
}

void virgl_hold_forget(struct device *device) {
    struct virgl_device *virgl = device->virgl;

    for (uint32_t i = 0; i < virgl->held_count; i++)
        free(virgl->held[i].response);
    virgl->held_count = 0;
    virgl->drawing = false;
}
