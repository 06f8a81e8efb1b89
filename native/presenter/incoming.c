/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "presenter/incoming.h"

#include <errno.h>

/* Pixels for a scanout of another size are useless. */
static void drop_pixels(struct presenter *presenter, uint32_t scanout_id) {
    struct pending *next;

    for (struct pending *entry = presenter->queue.first; entry != NULL; entry = next) {
        next = entry->next;
        if (entry->record.scanout_id != scanout_id)
            continue;
        pending_remove(&presenter->queue, entry);
        presenter_finish(presenter, entry);
    }
    for (unsigned i = 0; i < presenter->sending_count; i++)
        if (presenter->sending[i]->record.scanout_id == scanout_id)
            presenter->sending[i]->abandoned = true;
}

/* The display must be told the scanout's size again, or that it is disabled. */
static const struct size UNKNOWN = {0, 1};

/* The scanout no longer shows a DMA buffer. */
static void leave_buffer(struct presenter *presenter, uint32_t scanout_id) {
    if (!buffers_wanted(&presenter->buffers, scanout_id))
        return;
    if (buffers_forget(&presenter->buffers, scanout_id))
        presenter->announced[scanout_id] = UNKNOWN;
    presenter_note_scanout(presenter, scanout_id);
}

static void want_scanout(struct presenter *presenter, uint32_t scanout_id, uint32_t width,
                         uint32_t height) {
    struct size *wanted = &presenter->wanted[scanout_id];

    leave_buffer(presenter, scanout_id);
    if (wanted->width == width && wanted->height == height)
        return;
    *wanted = (struct size){width, height};
    viewing_set_size(&presenter->viewing, scanout_id, width, height);
    presenter_note_scanout(presenter, scanout_id);
    drop_pixels(presenter, scanout_id);
}

static void drop_covered(struct presenter *presenter, const struct pending *over) {
    struct pending *next;

    for (struct pending *entry = presenter->queue.first; entry != NULL; entry = next) {
        next = entry->next;
        if (!pending_covers(over, entry))
            continue;
        pending_remove(&presenter->queue, entry);
        presenter_finish(presenter, entry);
    }
}

static void queue_rectangle(struct presenter *presenter, struct pending *entry) {
    want_scanout(presenter, entry->record.scanout_id, entry->record.scanout_width,
                 entry->record.scanout_height);
    if (entry->width == 0 || entry->height == 0) {
        presenter_finish(presenter, entry);
        return;
    }
    viewing_draw(&presenter->viewing, entry);
    if (!pending_staged(entry))
        drop_covered(presenter, entry);
    pending_append(&presenter->queue, entry);
}

static int take_rectangle(struct presenter *presenter, const struct received *received) {
    struct pending *entry = pending_new(&presenter->pool);

    if (source_fill(&presenter->source, received, entry) < 0) {
        pending_free(&presenter->pool, entry);
        return -EPROTO;
    }
    queue_rectangle(presenter, entry);
    return 0;
}

static int take_scanout(struct presenter *presenter, const struct received *received) {
    const struct present_record *record = &received->record;

    if (source_check_scanout(received) < 0)
        return -EPROTO;
    if (record->scanout_width == 0 || record->scanout_height == 0)
        want_scanout(presenter, record->scanout_id, 0, 0);
    else
        want_scanout(presenter, record->scanout_id, record->scanout_width, record->scanout_height);
    return 0;
}

static int take_staging(struct presenter *presenter, const struct received *received) {
    return source_set_staging(&presenter->source, received);
}

static int take_forget(struct presenter *presenter, const struct received *received) {
    return source_forget_image(&presenter->source, received);
}

/* ---- DMA buffers ---- */

static int take_buffer(struct presenter *presenter, const struct received *received) {
    struct present_buffer buffer;

    if (source_check_buffer(received, &buffer) < 0)
        return -EPROTO;
    drop_pixels(presenter, buffer.scanout_id);
    buffers_show(&presenter->buffers, &buffer, received->fd);
    presenter->wanted[buffer.scanout_id] = (struct size){0, 0};
    viewing_set_size(&presenter->viewing, buffer.scanout_id, 0, 0);
    presenter_note_scanout(presenter, buffer.scanout_id);
    return 0;
}

static int take_damage(struct presenter *presenter, const struct received *received) {
    const struct present_record *record = &received->record;

    if (source_check_scanout(received) < 0)
        return -EPROTO;
    buffers_damage(&presenter->buffers, record->scanout_id,
                   &(struct rectangle){record->x, record->y, record->width, record->height});
    return 0;
}

static int take_record(struct presenter *presenter, struct received *received) {
    static int (*const takers[])(struct presenter *, const struct received *) = {
        [PRESENT_SCANOUT] = take_scanout, [PRESENT_STAGED] = take_rectangle,
        [PRESENT_IMAGE] = take_rectangle, [PRESENT_STAGING] = take_staging,
        [PRESENT_FORGET] = take_forget,   [PRESENT_BUFFER] = take_buffer,
        [PRESENT_DAMAGE] = take_damage,
    };
    uint32_t kind = received->record.kind;

    if (kind < sizeof(takers) / sizeof(takers[0]) && takers[kind] != NULL)
        return takers[kind](presenter, received);
    source_close_descriptors(received, 1);
    return -EPROTO;
}

/* Reads as long as there is room: a channel that fills up makes the device process merge. */
int presenter_receive(struct presenter *presenter) {
    struct received batch[SOURCE_BATCH];

    while (presenter->readable && presenter->source.fd >= 0 &&
           presenter->pool.available >= SOURCE_BATCH) {
        int count = source_receive(&presenter->source, batch);
        if (count < 0)
            return count;
        presenter->readable = presenter->source.more;
        /* A new viewer must not miss records that were made for it. */
        viewing_collect(&presenter->viewing, &presenter->outbox);
        for (int i = 0; i < count; i++) {
            if (take_record(presenter, &batch[i]) < 0) {
                source_close_descriptors(&batch[i + 1], count - i - 1);
                return -EPROTO;
            }
        }
    }
    return 0;
}
