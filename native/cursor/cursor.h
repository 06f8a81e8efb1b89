/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The cursor virtqueue (VIRTIO 1.2, 5.7.6.10), in the session, so that a cursor moves while the
 * control queue is busy.  Positions and pictures go to the presenter; nothing here ever blocks.
 */
#ifndef VGPUD_CURSOR_H
#define VGPUD_CURSOR_H

#include <stdint.h>

#include "presenter/presenter.h"
#include "ring/memory.h"
#include "ring/queue.h"
#include "shared/state.h"

/* [python] */
struct cursor;

/* The caller keeps the arguments, which must live longer.  A ring that loses its memory by a change
 * of the memory table is broken, and reported on its err_fd.  NULL: no memory or no descriptor. */
struct cursor *cursor_new(struct guest_memory *memory, struct session_state *state,
                          struct presenter *presenter, uint32_t num_scanouts);
void cursor_free(struct cursor *cursor);

/* As in queue.h.  Descriptors are duplicated, -1: none. */
int cursor_queue_start(struct cursor *cursor, const struct virtqueue_config *config, uint32_t base,
                       int call_fd, int err_fd);
/* A command that waits for its image is first answered with an error.  `base`: where to go on. */
int cursor_queue_stop(struct cursor *cursor, uint32_t *base);
int cursor_queue_set_enabled(struct cursor *cursor, int enabled);
/* Descriptors survive stop and start. */
int cursor_queue_set_fd(struct cursor *cursor, int which, int fd);
/* Readable when there was a kick that cursor_run() has not taken; -1: there are none, the ring has
 * to be polled.  Borrowed, the same one as long as the cursor lives, whatever kick is set. */
int cursor_queue_kick_fd(const struct cursor *cursor);

/* The 2D resources, any of which may become a cursor.  `image_fd` is borrowed until the image is
 * removed, or the cursor is reset.  -EEXIST, -EINVAL: no image of that size. */
int cursor_image_add(struct cursor *cursor, uint32_t resource_id, uint32_t width, uint32_t height,
                     int image_fd);
/* Likewise guest blobs: 64x64 pixels, B, G, R, A, read from guest memory when they are shown.
 * `entries`: nr_entries × struct virtio_gpu_mem_entry, of which the first are copied.  -EEXIST;
 * -EINVAL: too small for a cursor; -ENOMEM. */
int cursor_blob_add(struct cursor *cursor, uint32_t resource_id, const uint8_t *entries,
                    uint32_t nr_entries);
int cursor_image_remove(struct cursor *cursor, uint32_t resource_id); /* -ENOENT */
/* The device was reset: no images, nothing shown (presenter_forget_cursors() goes with it). */
void cursor_reset(struct cursor *cursor);

enum {
    CURSOR_IDLE = 0,          /* nothing left: wait for the next kick */
    CURSOR_UNKNOWN_IMAGE = 1, /* wait until resources under way have come, then call again: the
                                 second time it is the guest's mistake */
    CURSOR_QUEUE_BROKEN = 2,  /* stopped until it is started again, reported on its err_fd */
    CURSOR_MEMORY_FAULT = 3,  /* guest memory has gone: likewise */
    CURSOR_BUSY = 4,          /* enough for one call; call again */
};

/* Carries out the queue's commands.  `resource_id`: the one that is not known. */
int cursor_run(struct cursor *cursor, uint32_t *resource_id);
/* [end python] */

#endif
