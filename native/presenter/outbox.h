/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What other threads want from the presenter: messages for the display, the cursor, new
 * descriptors, to stop.  One lock protects all of it, held at most while a cursor's picture is
 * copied; an eventfd ends the presenter's poll.
 */
#ifndef VGPUD_OUTBOX_H
#define VGPUD_OUTBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "presenter/display_message.h"

enum { OUTBOX_MESSAGES = 64, OUTBOX_MESSAGE_MAX = 64 * 1024, OUTBOX_VIEWERS = 8 };

struct outbox_message {
    uint32_t length;
    uint8_t *bytes; /* from malloc() */
};

struct outbox_cursor {
    bool known;   /* there is a picture to show again on a new display */
    bool defined; /* the picture must be sent */
    bool moved;   /* the position must be sent */
    bool visible;
    uint32_t x, y, hot_x, hot_y;
    uint32_t *pixels; /* DISPLAY_CURSOR_PIXELS, NULL until the first picture */
};

/* A descriptor on its way to the presenter's thread; if not `given`, nothing changes. */
struct outbox_descriptor {
    bool given;
    int fd;
    int replies; /* of a display: where its replies go, -1: they are not read */
};

/* The cursor for viewers: of all scanouts' cursors the one that was shown last. */
struct seen_cursor {
    bool known; /* there is a picture */
    bool visible;
    uint32_t scanout_id;
    uint32_t x, y, hot_x, hot_y;
    uint32_t pixels[DISPLAY_CURSOR_PIXELS];
};

struct outbox {
    pthread_mutex_t lock;
    int wake;
    atomic_bool filled; /* something waits; without it lock and eventfd are not needed */
    bool stopped;
    bool connected;
    struct outbox_descriptor source, display;
    int in_use; /* the display that was collected last, which the presenter's thread closes; -1:
                   none */
    struct outbox_message messages[OUTBOX_MESSAGES];
    unsigned first, count;
    struct outbox_cursor cursors[DISPLAY_SCANOUTS];
    uint32_t cursors_waiting;                 /* a bit for each scanout */
    uint64_t cursor_used;                     /* when the cursor last changed, outbox_now() */
    uint32_t cursors_unseen, pictures_unseen; /* likewise, for viewers */
    int viewers[OUTBOX_VIEWERS];              /* channels that wait to be collected */
    unsigned viewer_count;
    uint64_t panorama_max; /* bytes */
    atomic_bool viewers_wait;
};

int outbox_init(struct outbox *outbox);
void outbox_destroy(struct outbox *outbox);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t outbox_now(void);

/* From any thread.  The presenter's thread may be blocked for ever in a write to a display, whose
 * flags a VMM can change: so a new display, no display, and the end shut down the one in use. */
int outbox_give(struct outbox *outbox, struct outbox_descriptor *descriptor, int fd, int replies);
int outbox_post(struct outbox *outbox, const uint8_t *bytes, uint32_t length);
int outbox_move_cursor(struct outbox *outbox, uint32_t scanout_id, uint32_t x, uint32_t y,
                       bool visible);
int outbox_set_cursor(struct outbox *outbox, const struct display_cursor_update *update);
void outbox_forget_cursors(struct outbox *outbox);
/* Duplicates `fd`; -EBUSY: too many wait already. */
int outbox_add_viewer(struct outbox *outbox, int fd, uint64_t panorama_max);
void outbox_stop(struct outbox *outbox);

/* The presenter's thread. */
struct outbox_changes {
    bool stopped;
    struct outbox_descriptor source, display;
};
void outbox_collect(struct outbox *outbox, struct outbox_changes *changes);
/* Before the display in use is closed, unless another was collected. */
void outbox_disconnect(struct outbox *outbox);
/* Neither returns anything while a new display waits to be collected: it is for that one. */
bool outbox_take_message(struct outbox *outbox, struct outbox_message *message);
/* Writes the next cursor message into `update` and returns its length, 0 when there is none. */
uint32_t outbox_take_cursor(struct outbox *outbox, struct display_cursor_update *update);
uint64_t outbox_cursor_used(struct outbox *outbox);
/* The channels that have been added since the last call, how many. */
unsigned outbox_take_viewers(struct outbox *outbox, int viewers[OUTBOX_VIEWERS],
                             uint64_t *panorama_max);
/* Brings `seen` up to date; false: nothing has changed.  `picture`: it is another one. */
bool outbox_see_cursor(struct outbox *outbox, struct seen_cursor *seen, bool *picture);

#endif
