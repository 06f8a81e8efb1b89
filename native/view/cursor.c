/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "view/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = VIEW_CURSOR_SIDE,
    MASK_STRIDE = SIDE / 8,
    OPAQUE_ENOUGH = 0x80, /* for a viewer that knows only whether there is a pixel */
};

static uint8_t alpha(uint32_t pixel) {
    uint8_t bytes[4];

    memcpy(bytes, &pixel, sizeof(bytes));
    return bytes[3];
}

/* Rows of bits, the leftmost pixel's is the highest. */
static void fill_mask(unsigned char *mask, const uint32_t *pixels) {
    for (unsigned i = 0; i < SIDE * SIDE; i++)
        if (alpha(pixels[i]) >= OPAQUE_ENOUGH)
            mask[i / 8] |= (unsigned char)(0x80 >> i % 8);
}

static void fill_alpha(unsigned char *values, const uint32_t *pixels) {
    for (unsigned i = 0; i < SIDE * SIDE; i++)
        values[i] = alpha(pixels[i]);
}

/* The library frees all of it. */
static rfbCursorPtr make(void) {
    rfbCursorPtr cursor = calloc(1, sizeof(*cursor));

    if (cursor == NULL)
        return NULL;
    cursor->cleanup = cursor->cleanupSource = cursor->cleanupMask = TRUE;
    cursor->cleanupRichSource = TRUE;
    cursor->width = cursor->height = SIDE;
    cursor->source = calloc(1, SIDE * MASK_STRIDE);
    cursor->mask = calloc(1, SIDE * MASK_STRIDE);
    cursor->richSource = calloc(SIDE * SIDE, sizeof(uint32_t));
    cursor->alphaSource = calloc(1, SIDE * SIDE);
    if (cursor->source != NULL && cursor->mask != NULL && cursor->richSource != NULL &&
        cursor->alphaSource != NULL)
        return cursor;
    rfbFreeCursor(cursor);
    return NULL;
}

/* Starts with a transparent one: without any the library would draw its own. */
int guest_cursor_begin(rfbScreenInfoPtr screen) {
    rfbCursorPtr cursor = make();

    if (cursor == NULL)
        return -ENOMEM;
    rfbSetCursor(screen, cursor);
    return 0;
}

static int show(const struct guest_cursor *guest, rfbScreenInfoPtr screen) {
    rfbCursorPtr cursor;

    if (!guest->known || !guest->visible)
        return guest_cursor_begin(screen);
    cursor = make();
    if (cursor == NULL)
        return -ENOMEM;
    cursor->xhot = (unsigned short)guest->hot_x;
    cursor->yhot = (unsigned short)guest->hot_y;
    fill_mask(cursor->mask, guest->pixels);
    fill_alpha(cursor->alphaSource, guest->pixels);
    memcpy(cursor->richSource, guest->pixels, sizeof(guest->pixels));
    /* Guests multiply colours by their alpha. */
    cursor->alphaPreMultiplied = TRUE;
    rfbSetCursor(screen, cursor);
    return 0;
}

int guest_cursor_define(struct guest_cursor *cursor, rfbScreenInfoPtr screen,
                        const struct view_record *record, const uint8_t *pixels) {
    memcpy(cursor->pixels, pixels, sizeof(cursor->pixels));
    cursor->hot_x = record->width % SIDE;
    cursor->hot_y = record->height % SIDE;
    cursor->known = true;
    return cursor->visible ? show(cursor, screen) : 0;
}

int guest_cursor_move(struct guest_cursor *cursor, rfbScreenInfoPtr screen,
                      const struct view_record *record) {
    bool visible = record->value != 0;

    screen->cursorX = (int)(record->x % (uint32_t)screen->width);
    screen->cursorY = (int)(record->y % (uint32_t)screen->height);
    if (visible == cursor->visible)
        return 0;
    cursor->visible = visible;
    return show(cursor, screen);
}
