/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Viewers beside the display: while there are any, what is presented is also copied into a
 * *panorama*, a memory file with the scanouts side by side, in their order, and each viewer's
 * process is told which part of it has changed.
 *
 * A copy, and not the images: a process that strangers speak to could keep images from being drawn
 * into.  Nothing here waits for a viewer.
 */
#ifndef VGPUD_VIEWING_H
#define VGPUD_VIEWING_H

#include <stdbool.h>
#include <stdint.h>

#include "presenter/display_message.h"
#include "presenter/outbox.h"
#include "presenter/pending.h"
#include "shared/rectangle.h"

struct viewer {
    int fd;       /* our end of its view channel */
    bool blocked; /* there is no room in the channel now */
    bool panorama_due, cursor_due, position_due;
    struct rectangle damage; /* of the panorama: the viewer was not told yet */
};

struct panorama_area {
    uint32_t width, height;
};

struct viewing {
    struct viewer viewers[OUTBOX_VIEWERS];
    unsigned count;
    uint64_t bytes_max; /* of a panorama; scanouts that do not fit are not seen */

    int fd; /* -1: there is no panorama */
    uint8_t *pixels;
    struct panorama_area panorama;
    struct rectangle places[DISPLAY_SCANOUTS]; /* of each scanout in it; empty: not there */
    struct panorama_area sizes[DISPLAY_SCANOUTS];
    bool stale; /* a scanout has another size */

    struct seen_cursor cursor;
};

void viewing_init(struct viewing *viewing);
void viewing_destroy(struct viewing *viewing);

/* Adds the viewers that came since the last call. */
void viewing_collect(struct viewing *viewing, struct outbox *outbox);
/* Width 0: the scanout shows nothing. */
void viewing_set_size(struct viewing *viewing, uint32_t scanout_id, uint32_t width,
                      uint32_t height);
/* Copies pixels that will be shown, before they go anywhere else. */
void viewing_draw(struct viewing *viewing, const struct pending *entry);
/* Tells each viewer what it does not know yet, if its channel has room. */
void viewing_tell(struct viewing *viewing, struct outbox *outbox);

/* The viewer `index` has gone. */
void viewing_remove(struct viewing *viewing, unsigned index);

#endif
