/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The guest's cursor in RFB: a viewer that can do that draws it itself, at its own pointer; for
 * others it is drawn into the picture, where the guest has it.
 */
#ifndef VGPUD_VIEW_CURSOR_H
#define VGPUD_VIEW_CURSOR_H

#include <rfb/rfb.h>
#include <stdbool.h>

#include "shared/view.h"

struct guest_cursor {
    bool known, visible;
    uint32_t hot_x, hot_y;
    uint32_t pixels[VIEW_CURSOR_SIDE * VIEW_CURSOR_SIDE]; /* B, G, R, A in memory */
};

/* Each returns 0 or -ENOMEM. */
int guest_cursor_begin(rfbScreenInfoPtr screen);
int guest_cursor_define(struct guest_cursor *cursor, rfbScreenInfoPtr screen,
                        const struct view_record *record, const uint8_t *pixels);
int guest_cursor_move(struct guest_cursor *cursor, rfbScreenInfoPtr screen,
                      const struct view_record *record);

#endif
