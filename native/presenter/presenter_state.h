/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the presenter's files share: presenter.c (when), incoming.c (what the device process wants),
 * outgoing.c (what is sent next).
 */
#ifndef VGPUD_PRESENTER_STATE_H
#define VGPUD_PRESENTER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "presenter/buffers.h"
#include "presenter/display_message.h"
#include "presenter/outbox.h"
#include "presenter/pending.h"
#include "presenter/replies.h"
#include "presenter/sender.h"
#include "presenter/source.h"
#include "presenter/viewing.h"
#include "shared/state.h"

_Static_assert((int)STATE_SCANOUTS == (int)DISPLAY_SCANOUTS, "one table serves both sides");

/*
 * Staged rectangles that are sent together: two parts each, few enough bytes for a cursor to wait.
 */
enum { BATCH_COUNT = 64, BATCH_BYTES = 256 * 1024 };

struct size {
    uint32_t width, height;
};

struct presenter {
    struct outbox outbox;
    struct source source;
    struct sender sender;
    struct replies replies;
    struct buffers buffers;
    struct viewing viewing;

    struct size wanted[DISPLAY_SCANOUTS], announced[DISPLAY_SCANOUTS];
    uint32_t changed; /* a bit for each scanout where those two differ */

    struct pending_list queue;    /* to be sent */
    struct pending_list draining; /* sent, their pages not yet taken by the display */
    struct pending_list answers;  /* done, the device process not yet told */
    bool readable, woken;         /* the results of poll() */
    uint32_t protocol_features;   /* of the display, as agreed on */
    uint64_t patience_ns; /* until the display is asked again whether it has taken all pages */

    /* The message in progress. */
    struct pending *sending[BATCH_COUNT];
    unsigned sending_count;
    uint32_t sending_rows; /* of sending[0] when that is an image */
    uint64_t begun;        /* when, outbox_now() */
    uint64_t begun_at;     /* and how many bytes had been written before it */
    struct outbox_message message;
    struct display_cursor_update cursor;
    struct display_scanout scanouts[DISPLAY_SCANOUTS];
    struct display_update updates[BATCH_COUNT];

    /* Written to displays; other threads look at them. */
    _Atomic uint64_t shown_updates, shown_dmabufs, shown_bytes;

    bool image_next;
    size_t band; /* bytes that the display takes in BAND_NS, as measured */
    struct pending_pool pool;
};

enum { BAND_MIN = 512 * 1024, BAND_FIRST = 2 << 20, BAND_MAX = 8 << 20 };

/* The rectangle was drawn, or never will be: its space goes back to the device process. */
void presenter_finish(struct presenter *presenter, struct pending *entry);

/* The wanted or the announced size of a scanout has changed. */
void presenter_note_scanout(struct presenter *presenter, uint32_t scanout_id);
#endif
