/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "presenter/outgoing.h"

#include <stdlib.h>
#include <string.h>

/*
 * A cursor can go between two frames' messages, but not within one.  With one message for each
 * frame QEMU never shows half of it.  So only frames that would delay the cursor for long (larger
 * than 2560x1600) are cut into bands, and only while the cursor moves: for CURSOR_IN_USE_NS after a
 * move, each band taking about BAND_NS.
 */
#define CURSOR_IN_USE_NS 1000000000ull
#define BAND_NS 500000ull
#define WHOLE_MAX (2560u * 1600 * 4)

/* QEMU counts the bytes of a message in an int. */
enum { MESSAGE_MAX = 1 << 30, SPLICE_MIN = 512 * 1024 };

/* ---- messages without pixels ---- */

/* Learns the agreed features from the message that sets them. */
static void note_message(struct presenter *presenter) {
    struct {
        struct display_header header;
        uint32_t features; /* the lower half of a u64, whose upper half has none so far */
    } message;

    if (presenter->message.length < sizeof(message))
        return;
    memcpy(&message, presenter->message.bytes, sizeof(message));
    if (message.header.request != DISPLAY_SET_PROTOCOL_FEATURES)
        return;
    if (~presenter->protocol_features & message.features & DISPLAY_FEATURE_DMABUF2)
        buffers_tell_modifiers(&presenter->buffers);
    presenter->protocol_features = message.features;
}

static bool begin_message(struct presenter *presenter) {
    if (!outbox_take_message(&presenter->outbox, &presenter->message))
        return false;
    note_message(presenter);
    sender_add(&presenter->sender, presenter->message.bytes, presenter->message.length);
    return true;
}

static bool begin_cursor(struct presenter *presenter) {
    uint32_t length = outbox_take_cursor(&presenter->outbox, &presenter->cursor);

    if (length == 0)
        return false;
    sender_add(&presenter->sender, &presenter->cursor, length);
    return true;
}

static bool begin_scanouts(struct presenter *presenter) {
    if (presenter->changed == 0)
        return false;
    for (; presenter->changed != 0; presenter->changed &= presenter->changed - 1) {
        uint32_t scanout_id = (uint32_t)__builtin_ctz(presenter->changed);
        struct display_scanout *message = &presenter->scanouts[scanout_id];
        presenter->announced[scanout_id] = presenter->wanted[scanout_id];
        *message = (struct display_scanout){
            .header = display_header(DISPLAY_SCANOUT, sizeof(*message)),
            .scanout_id = scanout_id,
            .width = presenter->wanted[scanout_id].width,
            .height = presenter->wanted[scanout_id].height,
        };
        sender_add(&presenter->sender, message, sizeof(*message));
    }
    return true;
}

static bool begin_buffers(struct presenter *presenter) {
    bool modifiers = presenter->protocol_features & DISPLAY_FEATURE_DMABUF2;
    int scanout_id = buffers_begin_frame(&presenter->buffers, &presenter->sender, modifiers);

    if (scanout_id < 0)
        return false;
    presenter->shown_updates++;
    presenter->shown_dmabufs++;
    return true;
}

/* ---- pixels ---- */

static void add_header(struct presenter *presenter, unsigned index, const struct pending *entry,
                       uint32_t rows) {
    struct display_update *message = &presenter->updates[index];

    *message = (struct display_update){
        .header = display_header(DISPLAY_UPDATE, sizeof(*message)),
        .scanout_id = entry->record.scanout_id,
        .x = entry->x,
        .y = entry->y + entry->rows_sent,
        .width = entry->width,
        .height = rows,
    };
    message->header.size += (uint32_t)(pending_row_length(entry) * rows);
    sender_add(&presenter->sender, message, sizeof(*message));
}

static void add_rows(struct presenter *presenter, const struct pending *entry, uint32_t rows) {
    sender_add_rows(&presenter->sender,
                    entry->file->map + entry->offset + entry->rows_sent * entry->stride,
                    pending_row_length(entry), entry->stride, rows);
}

static bool begin_staged(struct presenter *presenter) {
    presenter->sending_count =
        pending_take_staged(&presenter->queue, presenter->sending, BATCH_COUNT, BATCH_BYTES);
    for (unsigned i = 0; i < presenter->sending_count; i++) {
        struct pending *entry = presenter->sending[i];
        add_header(presenter, i, entry, entry->height);
        if (pending_contiguous(entry))
            sender_add(&presenter->sender, entry->file->map + entry->offset,
                       pending_row_length(entry) * entry->height);
        else /* it is alone in its batch */
            add_rows(presenter, entry, entry->height);
    }
    presenter->image_next = presenter->sending_count > 0;
    return presenter->sending_count > 0;
}

static bool cursor_in_use(struct presenter *presenter) {
    uint64_t used = outbox_cursor_used(&presenter->outbox);

    return used != 0 && outbox_now() - used < CURSOR_IN_USE_NS;
}

static size_t band_bytes(struct presenter *presenter, size_t whole, size_t left) {
    if (whole > WHOLE_MAX && left > presenter->band + BAND_MIN && cursor_in_use(presenter))
        return presenter->band;
    return left < MESSAGE_MAX ? left : MESSAGE_MAX;
}

static uint32_t rows_to_send(struct presenter *presenter, const struct pending *entry) {
    uint32_t left = entry->height - entry->rows_sent;
    size_t row = pending_row_length(entry);
    size_t rows = band_bytes(presenter, entry->height * row, left * row) / row;

    return rows > 0 ? (uint32_t)rows : 1;
}

/*
 * Whole rows are sent without a copy, but then we must wait until the display has taken the pages.
 */
static void add_frame(struct presenter *presenter, const struct pending *entry, uint32_t rows) {
    size_t length = pending_row_length(entry) * rows;
    const uint8_t *pixels = entry->file->map + entry->offset + entry->rows_sent * entry->stride;

    if (length < SPLICE_MIN)
        sender_add(&presenter->sender, pixels, length);
    else
        sender_add_pages(&presenter->sender, pixels, length);
}

static bool begin_image(struct presenter *presenter) {
    struct pending *entry = pending_take_image(&presenter->queue);
    uint32_t rows;

    if (entry == NULL)
        return false;
    rows = rows_to_send(presenter, entry);
    presenter->sending[0] = entry;
    presenter->sending_count = 1;
    presenter->sending_rows = rows;
    add_header(presenter, 0, entry, rows);
    if (pending_contiguous(entry))
        add_frame(presenter, entry, rows);
    else
        add_rows(presenter, entry, rows);
    presenter->image_next = false;
    return true;
}

static bool begin_pixels(struct presenter *presenter) {
    if (presenter->queue.first == NULL)
        return false;
    if (presenter->image_next && begin_image(presenter))
        return true;
    return begin_staged(presenter) || begin_image(presenter);
}

bool presenter_begin_next(struct presenter *presenter) {
    bool begun = begin_message(presenter) || begin_cursor(presenter) ||
                 buffers_begin_leaving(&presenter->buffers, &presenter->sender) ||
                 begin_scanouts(presenter) || begin_buffers(presenter) || begin_pixels(presenter);

    if (begun) {
        presenter->begun_at = presenter->sender.written;
        presenter->begun = outbox_now();
    }
    return begun;
}

/* ---- the end of a message ---- */

static size_t clamp(size_t value, size_t least, size_t most) {
    return value < least ? least : value > most ? most : value;
}

static void measure(struct presenter *presenter, size_t length) {
    uint64_t elapsed = outbox_now() - presenter->begun + 1;
    size_t taken = clamp(length * BAND_NS / elapsed, BAND_MIN, BAND_MAX);

    if (length >= BAND_MIN)
        presenter->band = (3 * presenter->band + taken) / 4;
}

static void complete_image(struct presenter *presenter, struct pending *entry) {
    measure(presenter, pending_row_length(entry) * presenter->sending_rows);
    entry->rows_sent += presenter->sending_rows;
    if (presenter->sender.spliced > presenter->begun_at)
        entry->live = presenter->sender.spliced;
    if (entry->rows_sent < entry->height && !entry->abandoned && !entry->orphan)
        pending_prepend(&presenter->queue, entry);
    else
        presenter_finish(presenter, entry);
}

void presenter_complete(struct presenter *presenter) {
    unsigned count = presenter->sending_count;

    presenter->shown_updates += count;
    presenter->shown_bytes += presenter->sender.written - presenter->begun_at;
    free(presenter->message.bytes);
    presenter->message.bytes = NULL;
    buffers_complete(&presenter->buffers);
    presenter->sending_count = 0;
    for (unsigned i = 0; i < count; i++)
        if (pending_staged(presenter->sending[i]))
            presenter_finish(presenter, presenter->sending[i]);
        else
            complete_image(presenter, presenter->sending[i]);
}

void presenter_take_back(struct presenter *presenter) {
    free(presenter->message.bytes);
    presenter->message.bytes = NULL;
    while (presenter->sending_count > 0) {
        struct pending *entry = presenter->sending[--presenter->sending_count];
        if (entry->orphan || entry->abandoned)
            presenter_finish(presenter, entry);
        else
            pending_prepend(&presenter->queue, entry);
    }
}
