/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "cursor/cursor.h"

#include <errno.h>
#include <linux/virtio_gpu.h>
#include <stdlib.h>

#include "cursor/cursor_image.h"
#include "ring/chain.h"
#include "ring/fault.h"

enum { CURSOR_QUEUE = 1, COMMANDS_IN_A_CALL = 256 };

struct cursor {
    struct guest_memory *memory;
    struct memory_watcher watcher;
    struct session_state *state;
    struct presenter *presenter;
    uint32_t num_scanouts;
    uint32_t visible; /* a bit for each scanout */
    struct cursor_images images;
    struct queue queue;

    struct virtio_gpu_update_cursor request; /* of the chain */
    bool held;                               /* it waits for its image */
    struct chain chain;
    uint8_t picture[CURSOR_PICTURE_BYTES];
};

static void memory_changed(void *argument) {
    struct cursor *cursor = argument;

    /* They are pointers into the old memory: a command that waits for its image comes back without
     * a response. */
    cursor->chain.writable = 0;
    cursor->chain.writable_bytes = 0;
    if (!cursor->queue.started || cursor->queue.broken)
        return;
    if (queue_translate(&cursor->queue) < 0)
        queue_break(&cursor->queue);
}

struct cursor *cursor_new(struct guest_memory *memory, struct session_state *state,
                          struct presenter *presenter, uint32_t num_scanouts) {
    struct cursor *cursor = calloc(1, sizeof(*cursor));

    if (cursor == NULL)
        return NULL;
    cursor->memory = memory;
    cursor->state = state;
    cursor->presenter = presenter;
    cursor->num_scanouts = num_scanouts < STATE_SCANOUTS ? num_scanouts : STATE_SCANOUTS;
    queue_init(&cursor->queue);
    if (kick_open(&cursor->queue.kick) < 0) {
        free(cursor);
        return NULL;
    }
    cursor->watcher = (struct memory_watcher){.changed = memory_changed, .argument = cursor};
    guest_memory_watch(memory, &cursor->watcher);
    return cursor;
}

void cursor_free(struct cursor *cursor) {
    if (cursor == NULL)
        return;
    guest_memory_unwatch(cursor->memory, &cursor->watcher);
    cursor_images_drop(&cursor->images);
    queue_close_fds(&cursor->queue);
    free(cursor);
}

int cursor_image_add(struct cursor *cursor, uint32_t resource_id, uint32_t width, uint32_t height,
                     int image_fd) {
    return cursor_images_add(&cursor->images, resource_id, width, height, image_fd);
}

int cursor_blob_add(struct cursor *cursor, uint32_t resource_id, const uint8_t *entries,
                    uint32_t nr_entries) {
    return cursor_images_add_blob(&cursor->images, resource_id, entries, nr_entries);
}

int cursor_image_remove(struct cursor *cursor, uint32_t resource_id) {
    return cursor_images_remove(&cursor->images, resource_id);
}

void cursor_reset(struct cursor *cursor) {
    cursor_images_drop(&cursor->images);
    cursor->visible = 0;
}

/* ---- answers ---- */

/* The driver usually leaves no room for one: then the chain just comes back. */
static void respond(struct cursor *cursor, uint32_t type) {
    const struct virtio_gpu_ctrl_hdr *request = &cursor->request.hdr;
    struct virtio_gpu_ctrl_hdr response = {.type = type};
    uint32_t written = 0;

    if (request->flags & VIRTIO_GPU_FLAG_FENCE) {
        response.flags = VIRTIO_GPU_FLAG_FENCE;
        response.fence_id = request->fence_id;
        response.ctx_id = request->ctx_id;
    }
    if (cursor->chain.writable_bytes >= sizeof(response))
        written = chain_write(&cursor->chain, cursor->memory, &response, sizeof(response));
    queue_give_back(&cursor->queue, &cursor->chain.ticket, written);
    cursor->held = false;
}

/* ---- commands: each returns its response's type, or 0 when its image is not known ---- */

/* Only the position is used: whether there is a cursor stays as UPDATE_CURSOR left it. */
static uint32_t move_cursor(struct cursor *cursor) {
    const struct virtio_gpu_cursor_pos *pos = &cursor->request.pos;
    int visible = cursor->visible >> pos->scanout_id & 1;

    presenter_move_cursor(cursor->presenter, pos->scanout_id, pos->x, pos->y, visible);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t hide_cursor(struct cursor *cursor) {
    cursor->visible &= ~(1u << cursor->request.pos.scanout_id);
    return move_cursor(cursor);
}

/* A hot spot outside the picture means nothing, and not every display of QEMU accepts one. */
static uint32_t hot(uint32_t value) {
    return value < CURSOR_SIDE ? value : CURSOR_SIDE - 1;
}

static uint32_t update_cursor(struct cursor *cursor) {
    const struct virtio_gpu_update_cursor *request = &cursor->request;
    const struct cursor_image *image;

    if (request->resource_id == 0)
        return hide_cursor(cursor);
    image = cursor_images_find(&cursor->images, request->resource_id);
    if (image == NULL)
        return cursor->held ? VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID : 0;
    if (cursor_image_read(image, cursor->memory, cursor->picture) < 0)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    if (presenter_set_cursor(cursor->presenter, request->pos.scanout_id, request->pos.x,
                             request->pos.y, hot(request->hot_x), hot(request->hot_y),
                             cursor->picture) < 0)
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    cursor->visible |= 1u << request->pos.scanout_id;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t execute(struct cursor *cursor) {
    if (cursor->chain.readable_bytes < sizeof(cursor->request))
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    if (cursor->request.pos.scanout_id >= cursor->num_scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    switch (cursor->request.hdr.type) {
    case VIRTIO_GPU_CMD_UPDATE_CURSOR:
        return update_cursor(cursor);
    case VIRTIO_GPU_CMD_MOVE_CURSOR:
        return move_cursor(cursor);
    default:
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
}

/* ---- the queue ---- */

struct run {
    struct cursor *cursor;
    unsigned commands;
    int result;
};

/* False: its image is not known. */
static bool answer(struct run *run) {
    uint32_t type = execute(run->cursor);

    run->commands++;
    if (type == 0) {
        run->cursor->held = true;
        run->result = CURSOR_UNKNOWN_IMAGE;
        return false;
    }
    respond(run->cursor, type);
    return true;
}

/* False: no more in this call. */
static bool take_command(struct run *run) {
    struct cursor *cursor = run->cursor;
    int popped;

    if (run->commands == COMMANDS_IN_A_CALL) {
        run->result = CURSOR_BUSY;
        return false;
    }
    popped = queue_pop(&cursor->queue, &cursor->chain);
    if (popped < 0) {
        run->result = CURSOR_QUEUE_BROKEN;
        return false;
    }
    if (popped == 0)
        return queue_want_kicks(&cursor->queue);
    cursor->request = (struct virtio_gpu_update_cursor){.resource_id = 0};
    chain_read(&cursor->chain, 0, &cursor->request, sizeof(cursor->request));
    return answer(run);
}

static void work(void *argument) {
    struct run *run = argument;
    bool more;

    queue_refuse_kicks(&run->cursor->queue);
    more = !run->cursor->held || answer(run);
    while (more)
        more = take_command(run);
    queue_notify(&run->cursor->queue);
}

int cursor_run(struct cursor *cursor, uint32_t *resource_id) {
    struct run run = {.cursor = cursor, .result = CURSOR_IDLE};

    /* Also for a queue that does not run: otherwise its kick would wake us for ever. */
    kick_wait(&cursor->queue.kick, 0);
    if (!queue_runs(&cursor->queue))
        return CURSOR_IDLE;
    if (!fault_guarded(work, &run))
        run.result = CURSOR_MEMORY_FAULT;
    if (run.result == CURSOR_QUEUE_BROKEN || run.result == CURSOR_MEMORY_FAULT)
        queue_break(&cursor->queue);
    *resource_id = cursor->request.resource_id;
    return run.result;
}

int cursor_queue_start(struct cursor *cursor, const struct virtqueue_config *config, uint32_t base,
                       int call_fd, int err_fd) {
    int error = queue_set_fd(&cursor->queue, QUEUE_CALL, call_fd);

    if (error == 0)
        error = queue_set_fd(&cursor->queue, QUEUE_ERR, err_fd);
    if (error < 0)
        return error;
    cursor->held = false;
    return queue_start(&cursor->queue, cursor->memory, config, base,
                       &cursor->state->queues[CURSOR_QUEUE]);
}

static void refuse_held(void *argument) {
    struct cursor *cursor = argument;

    respond(cursor, VIRTIO_GPU_RESP_ERR_UNSPEC);
    queue_notify(&cursor->queue);
}

int cursor_queue_stop(struct cursor *cursor, uint32_t *base) {
    if (cursor->held && !cursor->queue.broken && !fault_guarded(refuse_held, cursor))
        queue_break(&cursor->queue);
    cursor->held = false;
    *base = queue_stop(&cursor->queue);
    return 0;
}

int cursor_queue_set_enabled(struct cursor *cursor, int enabled) {
    cursor->queue.enabled = enabled != 0;
    return 0;
}

int cursor_queue_set_fd(struct cursor *cursor, int which, int fd) {
    return queue_set_fd(&cursor->queue, which, fd);
}

int cursor_queue_kick_fd(const struct cursor *cursor) {
    return kick_given(&cursor->queue.kick) ? cursor->queue.kick.epoll : -1;
}
