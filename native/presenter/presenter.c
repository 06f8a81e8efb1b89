/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* ppoll() */
#include "presenter/presenter.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "presenter/incoming.h"
#include "presenter/outgoing.h"
#include "presenter/presenter_state.h"

struct presenter *presenter_new(void) {
    struct presenter *presenter = calloc(1, sizeof(*presenter));

    if (presenter == NULL)
        return NULL;
    if (outbox_init(&presenter->outbox) < 0) {
        free(presenter);
        return NULL;
    }
    source_init(&presenter->source);
    sender_init(&presenter->sender);
    replies_init(&presenter->replies);
    buffers_init(&presenter->buffers);
    viewing_init(&presenter->viewing);
    pending_pool_init(&presenter->pool);
    presenter->band = BAND_FIRST;
    return presenter;
}

/* ---- what other threads may call ---- */

int presenter_set_source(struct presenter *presenter, int present_fd) {
    return outbox_give(&presenter->outbox, &presenter->outbox.source, present_fd, -1);
}

int presenter_set_display(struct presenter *presenter, int display_fd) {
    return presenter_connect(presenter, display_fd, -1);
}

int presenter_connect(struct presenter *presenter, int display_fd, int replies_fd) {
    return outbox_give(&presenter->outbox, &presenter->outbox.display, display_fd, replies_fd);
}

int presenter_post(struct presenter *presenter, const uint8_t *message, uint32_t length) {
    return outbox_post(&presenter->outbox, message, length);
}

int presenter_move_cursor(struct presenter *presenter, uint32_t scanout_id, uint32_t x, uint32_t y,
                          int visible) {
    return outbox_move_cursor(&presenter->outbox, scanout_id, x, y, visible != 0);
}

int presenter_set_cursor(struct presenter *presenter, uint32_t scanout_id, uint32_t x, uint32_t y,
                         uint32_t hot_x, uint32_t hot_y, const uint8_t *pixels) {
    struct display_cursor_update update = {
        .position = {.scanout_id = scanout_id, .x = x, .y = y},
        .hot_x = hot_x,
        .hot_y = hot_y,
    };

    memcpy(update.pixels, pixels, sizeof(update.pixels));
    return outbox_set_cursor(&presenter->outbox, &update);
}

void presenter_forget_cursors(struct presenter *presenter) {
    outbox_forget_cursors(&presenter->outbox);
}

int presenter_add_viewer(struct presenter *presenter, int channel_fd, uint64_t panorama_max) {
    return outbox_add_viewer(&presenter->outbox, channel_fd, panorama_max);
}

void presenter_count(struct presenter *presenter, struct presented *presented) {
    presented->updates = presenter->shown_updates;
    presented->dmabuf_updates = presenter->shown_dmabufs;
    presented->bytes = presenter->shown_bytes;
}

void presenter_stop(struct presenter *presenter) {
    outbox_stop(&presenter->outbox);
}

/* ---- the end of rectangles ---- */

static void finish_list(struct presenter *presenter, struct pending_list *list) {
    while (list->first != NULL) {
        struct pending *entry = list->first;
        pending_remove(list, entry);
        presenter_finish(presenter, entry);
    }
}

static void free_list(struct presenter *presenter, struct pending_list *list) {
    while (list->first != NULL) {
        struct pending *entry = list->first;
        pending_remove(list, entry);
        pending_free(&presenter->pool, entry);
    }
}

/* ---- a new source, a new display ---- */

static void use_source(struct presenter *presenter, int fd) {
    free_list(presenter, &presenter->queue);
    free_list(presenter, &presenter->draining);
    free_list(presenter, &presenter->answers);
    for (unsigned i = 0; i < presenter->sending_count; i++)
        presenter->sending[i]->orphan = true;
    source_use(&presenter->source, fd);
    presenter->readable = true;
}

/* What was under way to the old display goes to the new one, from its beginning. */
static void use_display(struct presenter *presenter, int fd, int replies) {
    presenter_take_back(presenter);
    sender_use(&presenter->sender, fd);
    replies_use(&presenter->replies, replies);
    buffers_tell_again(&presenter->buffers);
    presenter->protocol_features = 0;
    for (struct pending *entry = presenter->queue.first; entry != NULL; entry = entry->next)
        entry->live = entry->rows_sent = 0;
    for (struct pending *entry = presenter->draining.first; entry != NULL; entry = entry->next)
        entry->live = 0;
    finish_list(presenter, &presenter->draining);
    memset(presenter->announced, 0, sizeof(presenter->announced));
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++)
        presenter_note_scanout(presenter, scanout_id);
}

void presenter_free(struct presenter *presenter) {
    if (presenter == NULL)
        return;
    use_display(presenter, -1, -1);
    use_source(presenter, -1);
    buffers_destroy(&presenter->buffers);
    viewing_destroy(&presenter->viewing);
    sender_destroy(&presenter->sender);
    outbox_destroy(&presenter->outbox);
    free(presenter);
}

static int lose_display(struct presenter *presenter) {
    /* A new display, or an end, has shut this one down: look at that first. */
    if (atomic_load(&presenter->outbox.filled))
        return 0;
    outbox_disconnect(&presenter->outbox);
    use_display(presenter, -1, -1);
    return PRESENTER_DISPLAY_CLOSED;
}

static int lose_source(struct presenter *presenter, int error) {
    use_source(presenter, -1);
    return error == -EPROTO ? PRESENTER_SOURCE_BROKEN : PRESENTER_SOURCE_CLOSED;
}

/* ---- answers ---- */

static void move_drained(struct presenter *presenter) {
    struct pending *next;

    for (struct pending *entry = presenter->draining.first; entry != NULL; entry = next) {
        next = entry->next;
        if (!sender_consumed(&presenter->sender, entry->live))
            break;
        pending_remove(&presenter->draining, entry);
        pending_append(&presenter->answers, entry);
    }
    if (presenter->draining.first == NULL)
        presenter->patience_ns = 0;
}

static void send_answers(struct presenter *presenter) {
    struct pending *entry;

    while ((entry = presenter->answers.first) != NULL) {
        struct present_record answer = entry->record;
        answer.kind = PRESENT_RELEASED;
        if (presenter->source.fd >= 0 && source_answer(&presenter->source, &answer) == 0)
            return;
        pending_remove(&presenter->answers, entry);
        pending_free(&presenter->pool, entry);
    }
}

/* Up to the first rectangle of the ring that still has to be sent. */
static uint64_t consumed_position(const struct presenter *presenter) {
    uint64_t position = presenter->source.staged;

    for (unsigned i = 0; i < presenter->sending_count; i++) {
        const struct pending *entry = presenter->sending[i];
        if (pending_staged(entry) && !entry->orphan && entry->record.position < position)
            position = entry->record.position;
    }
    for (const struct pending *entry = presenter->queue.first; entry != NULL; entry = entry->next)
        if (pending_staged(entry))
            return entry->record.position < position ? entry->record.position : position;
    return position;
}

static void answer(struct presenter *presenter) {
    move_drained(presenter);
    send_answers(presenter);
    if (presenter->source.fd >= 0 && presenter->source.untold > 0)
        source_consumed(&presenter->source, consumed_position(presenter));
}

/* ---- the loop ---- */

static int collect(struct presenter *presenter) {
    struct outbox_changes changes;

    if (!presenter->woken && !atomic_load(&presenter->outbox.filled))
        return 0;
    presenter->woken = false;
    outbox_collect(&presenter->outbox, &changes);
    viewing_collect(&presenter->viewing, &presenter->outbox);
    if (changes.source.given)
        use_source(presenter, changes.source.fd);
    if (changes.display.given)
        use_display(presenter, changes.display.fd, changes.display.replies);
    return changes.stopped ? PRESENTER_STOPPED : 0;
}

static int write_display(struct presenter *presenter) {
    if (presenter->sender.fd < 0) {
        finish_list(presenter, &presenter->queue);
        return 0;
    }
    while (!sender_idle(&presenter->sender) || presenter_begin_next(presenter)) {
        int written = sender_write(&presenter->sender);
        if (written < 0)
            return lose_display(presenter);
        if (written == 0)
            return 0;
        presenter_complete(presenter);
    }
    return 0;
}

static short source_events(const struct presenter *presenter) {
    bool room = presenter->pool.available >= SOURCE_BATCH;

    return (short)((room ? POLLIN : 0) | (presenter->source.blocked ? POLLOUT : 0));
}

/*
 * A socket becomes writable when at most a quarter of its buffer is in use (unix_writable() in
 * Linux). Then the display soon takes the rest, or it has stopped reading: so ask soon, then less
 * often.
 */
enum { PATIENCE_FIRST = 150 * 1000, PATIENCE_MAX = 20 * 1000 * 1000 };

static short display_events(const struct presenter *presenter) {
    bool drains = presenter->draining.first != NULL && presenter->patience_ns == 0;

    bool writes = !sender_idle(&presenter->sender) || drains;
    bool reads = presenter->replies.fd >= 0;

    return (short)((writes ? POLLOUT : 0) | (reads ? POLLIN : 0));
}

static void grow_patience(struct presenter *presenter, bool writable) {
    if (presenter->draining.first == NULL || !sender_idle(&presenter->sender))
        presenter->patience_ns = 0;
    else if (presenter->patience_ns == 0)
        presenter->patience_ns = writable ? PATIENCE_FIRST : 0;
    else if (presenter->patience_ns < PATIENCE_MAX)
        presenter->patience_ns *= 2;
}

/* False: the display's replies make no sense. */
static bool read_display(struct presenter *presenter) {
    int frames = replies_receive(&presenter->replies, presenter->sender.fd);

    if (frames > 0)
        presenter->buffers.awaited = false;
    return frames >= 0;
}

enum { POLLED = 3 }; /* followed by the viewers */

static nfds_t poll_viewers(const struct viewing *viewing, struct pollfd *polled) {
    for (unsigned i = 0; i < viewing->count; i++)
        polled[i] = (struct pollfd){.fd = viewing->viewers[i].fd,
                                    .events = viewing->viewers[i].blocked ? POLLOUT : 0};
    return viewing->count;
}

/* From the last to the first: when one goes, the last takes its place. */
static void look_at_viewers(struct viewing *viewing, const struct pollfd *polled, nfds_t count) {
    while (count-- > 0)
        if (polled[count].revents & (POLLHUP | POLLERR))
            viewing_remove(viewing, (unsigned)count);
        else if (polled[count].revents & POLLOUT)
            viewing->viewers[count].blocked = false;
}

/* Without a frame for so long the sender rests. */
enum { REST_SECONDS = 1 };

/* How long to wait for whatever comes; NULL: for ever. */
static const struct timespec *timeout(const struct presenter *presenter, struct timespec *storage) {
    if (presenter->patience_ns > 0)
        *storage = (struct timespec){.tv_nsec = (long)presenter->patience_ns};
    else if (presenter->sender.grown && sender_idle(&presenter->sender))
        *storage = (struct timespec){.tv_sec = REST_SECONDS};
    else
        return NULL;
    return storage;
}

/* What ppoll() returns. */
static int wait_on(struct presenter *presenter, struct pollfd *polled, nfds_t count) {
    struct timespec storage;
    int ready = ppoll(polled, count, timeout(presenter, &storage), NULL);

    if (ready == 0 && presenter->patience_ns == 0)
        sender_rest(&presenter->sender);
    return ready;
}

static int wait_for_more(struct presenter *presenter) {
    struct pollfd polled[POLLED + OUTBOX_VIEWERS] = {
        {.fd = presenter->outbox.wake, .events = POLLIN},
        {.fd = presenter->source.fd, .events = source_events(presenter)},
        {.fd = presenter->sender.fd, .events = display_events(presenter)},
    };
    nfds_t viewers = poll_viewers(&presenter->viewing, &polled[POLLED]);

    if (presenter->source.ended)
        return lose_source(presenter, -EPIPE);
    if (presenter->readable && (polled[1].events & POLLIN) && polled[1].fd >= 0)
        return 0;
    if (wait_on(presenter, polled, POLLED + viewers) < 0)
        return 0; /* interrupted */
    look_at_viewers(&presenter->viewing, &polled[POLLED], viewers);
    presenter->woken = polled[0].revents != 0;
    presenter->readable = (polled[1].revents & POLLIN) != 0;
    grow_patience(presenter, (polled[2].revents & POLLOUT) != 0);
    if ((polled[2].revents & POLLIN) && !read_display(presenter))
        return lose_display(presenter);
    if (polled[2].revents & (POLLHUP | POLLERR))
        return lose_display(presenter);
    /* If there is something to read, the end comes after it. */
    if ((polled[1].revents & (POLLHUP | POLLERR)) && !presenter->readable)
        return lose_source(presenter, -EPIPE);
    return 0;
}

static int receive(struct presenter *presenter) {
    int error = presenter_receive(presenter);

    return error < 0 ? lose_source(presenter, error) : 0;
}

int presenter_run(struct presenter *presenter) {
    int reason = 0;

    while (reason == 0) {
        reason = receive(presenter);
        /*
         * After the records: a record that was made because of a change (a repaint for a new
         * display) must not be handled before the change.
         */
        if (reason == 0)
            reason = collect(presenter);
        if (reason == 0)
            reason = write_display(presenter);
        answer(presenter);
        viewing_tell(&presenter->viewing, &presenter->outbox);
        if (reason == 0)
            reason = wait_for_more(presenter);
    }
    return reason;
}
