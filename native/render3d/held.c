/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/held.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "device/burst.h"
#include "device/idle.h"
#include "device/unanswered.h"
#include "render3d/render3d.h"
#include "ring/fault.h"
#include "shared/limited_log.h"

static struct limited_log lost_log = LIMITED_LOG("virglrenderer", PRIORITY_WARNING);

enum { STOP_MILLISECONDS = 200, TAKEN = 64 /* fences, at a time */ };

/* --- the list, in the order of the answers */

static bool same_timeline(const struct held *held, bool of_ring, uint32_t ctx_id,
                          uint32_t ring_idx) {
    return held->of_ring == of_ring &&
           (!of_ring || (held->ctx_id == ctx_id && held->ring_idx == ring_idx));
}

/* The last on a timeline; NULL: nothing is under way there. */
static const struct held *last_under_way(const struct render3d *render3d, const struct held *like) {
    for (uint32_t i = render3d->held_count; i > 0; i--)
        if (same_timeline(&render3d->held[i - 1], like->of_ring, like->ctx_id, like->ring_idx))
            return &render3d->held[i - 1];
    return NULL;
}

/* --- holding */

/* Whether the library has a timeline for the request; others use the timeline of all contexts. */
static bool create_ring_fence(struct render3d *render3d, struct held *held) {
    struct gpu_library *library = render3d->library;

    return held->of_ring && library->operations->create_context_fence(
                                library, held->ctx_id, held->ring_idx, held->fence) == 0;
}

static void note_lost(struct device *device, struct context *context, const struct held *held) {
    if (context->lost)
        return;
    limited_log_say(&lost_log, "context %u takes no fence of its ring %u: what it draws is lost",
                    context->ctx_id, held->ring_idx);
    device->state->counters.contexts_lost++;
    context->lost = true;
}

/* The process of a context has gone, or it has no such ring: so wait only for what is waited for
 * already. */
static bool follow_last(struct render3d *render3d, struct held *held) {
    const struct held *last = last_under_way(render3d, held);

    if (last != NULL)
        held->fence = last->fence;
    return last != NULL;
}

static bool create_fence(struct device *device, struct context *vulkan, struct held *held) {
    struct render3d *render3d = device->render3d;

    held->fence = ++render3d->last_context_fence;
    if (create_ring_fence(render3d, held))
        return true;
    if (vulkan != NULL) {
        note_lost(device, vulkan, held);
        return follow_last(render3d, held);
    }
    held->of_ring = false;
    held->fence = ++render3d->last_fence;
    return render3d->library->operations->create_fence(render3d->library, render3d->last_fence) ==
           0;
}

static bool keep_response(struct held *held, const uint8_t *response, uint32_t length) {
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

/* A context whose rings have timelines of their own. */
static struct context *find_vulkan(struct render3d *render3d, uint32_t ctx_id) {
    struct context *context = context_find(render3d, ctx_id);

    return context != NULL && context->vulkan ? context : NULL;
}

/* Whether there may be work on the request's timeline that nobody waits for yet. */
static bool begun(const struct render3d *render3d, const struct context *vulkan,
                  const struct virtio_gpu_ctrl_hdr *request) {
    return vulkan != NULL ? request->type == VIRTIO_GPU_CMD_SUBMIT_3D : render3d->drawing;
}

bool held_add(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length) {
    const struct virtio_gpu_ctrl_hdr *request = &device->unanswered[chain]->header;
    struct render3d *render3d = device->render3d;
    struct context *vulkan;
    struct held held = {.chain = chain,
                        .ctx_id = request->ctx_id,
                        .ring_idx = request->ring_idx,
                        .of_ring = (request->flags & VIRTIO_GPU_FLAG_INFO_RING_IDX) != 0};

    if (!(request->flags & VIRTIO_GPU_FLAG_FENCE) || render3d->held_count == QUEUE_SIZE_MAX)
        return false;
    vulkan = held.of_ring ? find_vulkan(render3d, held.ctx_id) : NULL;
    if (!begun(render3d, vulkan, request) && last_under_way(render3d, &held) == NULL)
        return false;
    if (!create_fence(device, vulkan, &held) || !keep_response(&held, response, length))
        return false;
    /* From here on work is under way only if it was begun later, or is in the list. */
    render3d->drawing = render3d->drawing && held.of_ring;
    render3d->held[render3d->held_count++] = held;
    return true;
}

/* --- releasing */

/* False: guest memory has gone. */
static bool answer(struct device *device, struct held *held) {
    const uint8_t *response = held->response ? held->response : (const uint8_t *)&held->header;
    int error = unanswered_answer(device, held->chain, response, held->length);

    free(held->response);
    return error == 0;
}

static bool ring_passed(const struct held *held, const struct retired_fence *retired,
                        uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (retired[i].ctx_id == held->ctx_id && retired[i].ring_idx == held->ring_idx &&
            held->fence <= retired[i].fence_id)
            return true;
    return false;
}

static bool has_passed(struct render3d *render3d, const struct held *held,
                       const struct retired_fence *retired, uint32_t count) {
    return held->of_ring ? ring_passed(held, retired, count)
                         : fence_ring_passed(&render3d->library->fences, (uint32_t)held->fence);
}

/* Answers in order those whose fence has passed, and closes the gaps.  False: as above. */
static bool release(struct device *device, const struct retired_fence *retired, uint32_t count,
                    bool all) {
    struct render3d *render3d = device->render3d;
    uint32_t kept = 0, held_count = render3d->held_count;
    bool whole = true;

    for (uint32_t i = 0; i < held_count; i++) {
        struct held held = render3d->held[i];
        if (all || has_passed(render3d, &held, retired, count))
            whole = answer(device, &held) && whole;
        else
            render3d->held[kept++] = held;
    }
    render3d->held_count = kept;
    return whole;
}

void held_end_context(struct device *device, uint32_t ctx_id) {
    struct render3d *render3d = device->render3d;
    uint32_t kept = 0, held_count = render3d->held_count;

    for (uint32_t i = 0; i < held_count; i++) {
        struct held held = render3d->held[i];
        if (held.of_ring && held.ctx_id == ctx_id)
            answer(device, &held);
        else
            render3d->held[kept++] = held;
    }
    render3d->held_count = kept;
}

static bool take_and_release(struct device *device) {
    struct retired_fence retired[TAKEN];
    uint32_t count = fence_ring_take(&library_of(device)->fences, retired, TAKEN);

    return release(device, retired, count, false);
}

/* --- while the queue's thread sleeps */

struct asleep {
    struct device *device;
    bool wakes; /* the queue's thread is to be woken */
};

/* A driver that sends one command after the other is about to send the next: the queue's thread is
 * woken to look for that, and need not be kicked. */
static void release_guarded(void *argument) {
    struct asleep *asleep = argument;
    struct device *device = asleep->device;

    idle_begin(device);
    asleep->wakes = idle_pays(device);
    if (asleep->wakes)
        queue_refuse_kicks(&device->queue);
    asleep->wakes |= !take_and_release(device);
    burst_notify(device);
}

/* On a thread of the library's.  The queue's thread is woken as well to say that guest memory has
 * gone. */
static bool release_asleep(void *argument) {
    struct asleep asleep = {.device = argument};

    return fault_guarded(release_guarded, &asleep) && !asleep.wakes;
}

void held_sleep(struct device *device, bool asleep) {
    bool answers = asleep && device->render3d->held_count > 0;

    fence_ring_answer_by(&library_of(device)->fences, answers ? release_asleep : NULL, device);
}

/* --- while it is awake */

static bool readable(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return fd >= 0 && poll(&one, 1, 0) > 0;
}

static void release_awake(struct device *device) {
    struct gpu_library *library = library_of(device);

    if (readable(library->poll_fd))
        library->operations->poll(library);
    fence_ring_awake(&library->fences);
    take_and_release(device);
}

/* The queue stops and nothing may be written afterwards: give the GPU a moment to finish. */
static void release_all(struct device *device) {
    struct gpu_library *library = library_of(device);
    struct pollfd fds[] = {{.fd = library->fences.eventfd, .events = POLLIN},
                           {.fd = library->poll_fd, .events = POLLIN}};

    while (device->render3d->held_count > 0 && poll(fds, 2, STOP_MILLISECONDS) > 0) {
        fence_ring_empty(&library->fences);
        release_awake(device);
    }
    release(device, NULL, 0, true);
}

bool held_release(struct device *device, bool all) {
    if (device->render3d->held_count == 0)
        return false;
    if (all)
        release_all(device);
    else
        release_awake(device);
    return device->render3d->held_count > 0;
}

void held_forget(struct device *device) {
    struct render3d *render3d = device->render3d;

    for (uint32_t i = 0; i < render3d->held_count; i++)
        free(render3d->held[i].response);
    render3d->held_count = 0;
    render3d->drawing = false;
}
