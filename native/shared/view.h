/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* clang-format off */
/*
 * The view channel: the messages between a session and the process that serves one of its viewers.
 * A SOCK_SEQPACKET socketpair, one record a packet, in order.  The session writes without
 * waiting; for a viewer that is slow, changes are merged before they are sent.
 *
 * Session → view process
 *   VIEW_CONNECTION   the viewer's socket is attached; `value` 1: keys and pointer are used
 *   VIEW_PANORAMA     another picture, of width x height pixels; the memory file is attached
 *                     (sealed, of exactly view_panorama_bytes(), rows without gaps, B, G, R and one
 *                     byte of no meaning).  What it shows changes at any moment
 *   VIEW_DAMAGE       that rectangle of the panorama has changed
 *   VIEW_CURSOR       the cursor has another picture, the last VIEW_CURSOR_BYTES of the panorama (B,
 *                     G, R, A); its hot spot in width and height
 *   VIEW_CURSOR_AT    where it is, x and y of the panorama; `value` 0: it is hidden
 *
 * View process → session, which trusts none of it
 *   VIEW_KEY          `value`: an X11 keysym; x: 1 pressed, 0 released
 *   VIEW_POINTER      x, y: 0 to VIEW_POINTER_MAX across the panorama; `value`: a bit for each button
 *                     that is held, as RFB numbers them
 */
/* clang-format on */
#ifndef VGPUD_VIEW_H
#define VGPUD_VIEW_H

#include <stdint.h>

/* [python] */
enum {
    VIEW_CONNECTION = 1,
    VIEW_PANORAMA,
    VIEW_DAMAGE,
    VIEW_CURSOR,
    VIEW_CURSOR_AT,
    VIEW_KEY,
    VIEW_POINTER,
};

enum { VIEW_POINTER_MAX = 32767 };

struct view_record {
    uint32_t kind;
    uint32_t value;
    uint32_t x, y, width, height; /* pixels */
};
/* [end python] */

enum { VIEW_CURSOR_SIDE = 64, VIEW_CURSOR_BYTES = VIEW_CURSOR_SIDE * VIEW_CURSOR_SIDE * 4 };

static inline uint64_t view_pixel_bytes(uint32_t width, uint32_t height) {
    return (uint64_t)width * height * 4;
}

static inline uint64_t view_panorama_bytes(uint32_t width, uint32_t height) {
    return view_pixel_bytes(width, height) + VIEW_CURSOR_BYTES;
}

_Static_assert(sizeof(struct view_record) == 24, "one size on both sides");

#endif
