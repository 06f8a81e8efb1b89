/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "presenter/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int outbox_init(struct outbox *outbox) {
    memset(outbox, 0, sizeof(*outbox));
    outbox->source = outbox->display = (struct outbox_descriptor){.fd = -1, .replies = -1};
    outbox->in_use = -1;
    outbox->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (outbox->wake < 0)
        return -errno;
    pthread_mutex_init(&outbox->lock, NULL);
    return 0;
}

static void close_descriptor(const struct outbox_descriptor *descriptor) {
    if (descriptor->fd >= 0)
        close(descriptor->fd);
    if (descriptor->replies >= 0)
        close(descriptor->replies);
}

static void drop_descriptor(struct outbox_descriptor *descriptor) {
    if (descriptor->given)
        close_descriptor(descriptor);
    *descriptor = (struct outbox_descriptor){.fd = -1, .replies = -1};
}

static void drop_messages(struct outbox *outbox) {
    for (; outbox->count > 0; outbox->count--) {
        free(outbox->messages[outbox->first].bytes);
        outbox->first = (outbox->first + 1) % OUTBOX_MESSAGES;
    }
}

static void drop_viewers(struct outbox *outbox) {
    while (outbox->viewer_count > 0)
        close(outbox->viewers[--outbox->viewer_count]);
}

void outbox_destroy(struct outbox *outbox) {
    drop_viewers(outbox);
    drop_messages(outbox);
    drop_descriptor(&outbox->source);
    drop_descriptor(&outbox->display);
    for (unsigned scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++)
        free(outbox->cursors[scanout_id].pixels);
    close(outbox->wake);
    pthread_mutex_destroy(&outbox->lock);
}

uint64_t outbox_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Wakes the presenter once for everything that comes before it looks. */
static void wake(struct outbox *outbox) {
    uint64_t one = 1;

    if (!atomic_exchange(&outbox->filled, true))
        (void)!write(outbox->wake, &one, sizeof(one)); /* full: it is awake */
}

/* A new display has no cursor. */
static void define_cursors_again(struct outbox *outbox) {
    outbox->cursors_waiting = 0;
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++) {
        struct outbox_cursor *cursor = &outbox->cursors[scanout_id];
        cursor->defined = cursor->known;
        cursor->moved = cursor->known && !cursor->visible;
        if (cursor->known)
            outbox->cursors_waiting |= 1u << scanout_id;
    }
}

/* -1 of -1. */
static int duplicate(int fd, int *copy) {
    *copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    return fd >= 0 && *copy < 0 ? -errno : 0;
}

static bool same_file(int one, int other) {
    struct stat first, second;

    return fstat(one, &first) == 0 && fstat(other, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* Called with the lock, so that it cannot be closed meanwhile, and after the wake: when the
 * presenter sees this end, it first looks at what is wanted. */
static void shut_down(struct outbox *outbox) {
    if (outbox->in_use >= 0)
        shutdown(outbox->in_use, SHUT_RDWR);
}

static void replace_display(struct outbox *outbox, int fd) {
    drop_messages(outbox); /* they were for the previous display */
    define_cursors_again(outbox);
    outbox->connected = fd >= 0;
    if (!same_file(fd, outbox->in_use))
        shut_down(outbox);
}

int outbox_give(struct outbox *outbox, struct outbox_descriptor *descriptor, int fd, int replies) {
    struct outbox_descriptor copy = {.given = true, .fd = -1, .replies = -1};
    int error = duplicate(fd, &copy.fd);

    if (error == 0)
        error = duplicate(replies, &copy.replies);
    if (error < 0) {
        close_descriptor(&copy);
        return error;
    }
    pthread_mutex_lock(&outbox->lock);
    drop_descriptor(descriptor);
    *descriptor = copy;
    wake(outbox);
    if (descriptor == &outbox->display)
        replace_display(outbox, copy.fd);
    pthread_mutex_unlock(&outbox->lock);
    return 0;
}

static int append(struct outbox *outbox, uint8_t *bytes, uint32_t length) {
    if (!outbox->connected)
        return -ENOTCONN;
    if (outbox->count == OUTBOX_MESSAGES)
        return -ENOBUFS;
    outbox->messages[(outbox->first + outbox->count++) % OUTBOX_MESSAGES] =
        (struct outbox_message){.length = length, .bytes = bytes};
    return 0;
}

int outbox_post(struct outbox *outbox, const uint8_t *bytes, uint32_t length) {
    struct display_header header;
    uint8_t *copy;
    int result;

    if (length < sizeof(header) || length > OUTBOX_MESSAGE_MAX)
        return -EINVAL;
    memcpy(&header, bytes, sizeof(header));
    if (header.size != length - sizeof(header)) /* what follows would be misread */
        return -EINVAL;
    copy = malloc(length);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, bytes, length);
    pthread_mutex_lock(&outbox->lock);
    result = append(outbox, copy, length);
    pthread_mutex_unlock(&outbox->lock);
    if (result < 0)
        free(copy);
    else
        wake(outbox);
    return result;
}

static void cursor_changed(struct outbox *outbox, uint32_t scanout_id) {
    outbox->cursors_waiting |= 1u << scanout_id;
    outbox->cursors_unseen |= 1u << scanout_id;
    outbox->cursor_used = outbox_now();
}

int outbox_move_cursor(struct outbox *outbox, uint32_t scanout_id, uint32_t x, uint32_t y,
                       bool visible) {
    struct outbox_cursor *cursor;

    if (scanout_id >= DISPLAY_SCANOUTS)
        return -ENODEV;
    cursor = &outbox->cursors[scanout_id];
    pthread_mutex_lock(&outbox->lock);
    cursor->x = x;
    cursor->y = y;
    cursor->visible = visible;
    cursor->moved = true;
    cursor_changed(outbox, scanout_id);
    pthread_mutex_unlock(&outbox->lock);
    wake(outbox);
    return 0;
}

static int define(struct outbox *outbox, const struct display_cursor_update *update) {
    struct outbox_cursor *cursor = &outbox->cursors[update->position.scanout_id];

    if (cursor->pixels == NULL)
        cursor->pixels = malloc(sizeof(update->pixels));
    if (cursor->pixels == NULL)
        return -ENOMEM;
    memcpy(cursor->pixels, update->pixels, sizeof(update->pixels));
    cursor->x = update->position.x;
    cursor->y = update->position.y;
    cursor->hot_x = update->hot_x;
    cursor->hot_y = update->hot_y;
    cursor->visible = cursor->known = cursor->defined = true;
    cursor->moved = false;
    outbox->pictures_unseen |= 1u << update->position.scanout_id;
    cursor_changed(outbox, update->position.scanout_id);
    return 0;
}

int outbox_set_cursor(struct outbox *outbox, const struct display_cursor_update *update) {
    int result;

    if (update->position.scanout_id >= DISPLAY_SCANOUTS)
        return -ENODEV;
    pthread_mutex_lock(&outbox->lock);
    result = define(outbox, update);
    pthread_mutex_unlock(&outbox->lock);
    wake(outbox);
    return result;
}

static void forget_cursor(struct outbox *outbox, uint32_t scanout_id) {
    struct outbox_cursor *cursor = &outbox->cursors[scanout_id];

    if (!cursor->known && !cursor->moved)
        return;
    cursor->known = cursor->defined = cursor->visible = false;
    cursor->moved = true; /* hidden where it is */
    outbox->cursors_waiting |= 1u << scanout_id;
    outbox->cursors_unseen |= 1u << scanout_id;
}

void outbox_forget_cursors(struct outbox *outbox) {
    pthread_mutex_lock(&outbox->lock);
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++)
        forget_cursor(outbox, scanout_id);
    pthread_mutex_unlock(&outbox->lock);
    wake(outbox);
}

static int append_viewer(struct outbox *outbox, int fd, uint64_t panorama_max) {
    if (outbox->viewer_count == OUTBOX_VIEWERS)
        return -EBUSY;
    outbox->viewers[outbox->viewer_count++] = fd;
    outbox->panorama_max = panorama_max;
    atomic_store(&outbox->viewers_wait, true);
    return 0;
}

int outbox_add_viewer(struct outbox *outbox, int fd, uint64_t panorama_max) {
    int copy, error = duplicate(fd, &copy);

    if (error < 0)
        return error;
    pthread_mutex_lock(&outbox->lock);
    error = append_viewer(outbox, copy, panorama_max);
    pthread_mutex_unlock(&outbox->lock);
    if (error < 0)
        close(copy);
    else
        wake(outbox);
    return error;
}

void outbox_stop(struct outbox *outbox) {
    pthread_mutex_lock(&outbox->lock);
    outbox->stopped = true;
    wake(outbox);
    shut_down(outbox);
    pthread_mutex_unlock(&outbox->lock);
}

static void take_descriptor(struct outbox_descriptor *from, struct outbox_descriptor *to) {
    *to = *from;
    *from = (struct outbox_descriptor){.fd = -1, .replies = -1};
}

void outbox_collect(struct outbox *outbox, struct outbox_changes *changes) {
    uint64_t woken;

    /* Before looking, and in this order: otherwise a wake between the two could be read while
     * `filled` stays set, and nothing would wake again. */
    (void)!read(outbox->wake, &woken, sizeof(woken));
    atomic_store(&outbox->filled, false);
    pthread_mutex_lock(&outbox->lock);
    changes->stopped = outbox->stopped;
    outbox->stopped = false;
    take_descriptor(&outbox->source, &changes->source);
    take_descriptor(&outbox->display, &changes->display);
    if (changes->display.given)
        outbox->in_use = changes->display.fd;
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_disconnect(struct outbox *outbox) {
    pthread_mutex_lock(&outbox->lock);
    outbox->in_use = -1;
    if (!outbox->display.given) { /* otherwise these are for a new one that is there already */
        outbox->connected = false;
        drop_messages(outbox);
    }
    pthread_mutex_unlock(&outbox->lock);
}

bool outbox_take_message(struct outbox *outbox, struct outbox_message *message) {
    bool taken;

    pthread_mutex_lock(&outbox->lock);
    taken = outbox->count > 0 && !outbox->display.given;
    if (taken) {
        *message = outbox->messages[outbox->first];
        outbox->first = (outbox->first + 1) % OUTBOX_MESSAGES;
        outbox->count--;
    }
    pthread_mutex_unlock(&outbox->lock);
    return taken;
}

static uint32_t take_definition(struct outbox_cursor *cursor,
                                struct display_cursor_update *update) {
    update->position.header = display_header(DISPLAY_CURSOR_UPDATE, sizeof(*update));
    update->hot_x = cursor->hot_x;
    update->hot_y = cursor->hot_y;
    memcpy(update->pixels, cursor->pixels, sizeof(update->pixels));
    cursor->defined = false;
    cursor->moved = !cursor->visible; /* CURSOR_UPDATE shows it */
    return sizeof(*update);
}

static uint32_t take_position(struct outbox_cursor *cursor, struct display_cursor_update *update) {
    uint32_t request = cursor->visible ? DISPLAY_CURSOR_POS : DISPLAY_CURSOR_POS_HIDE;

    update->position.header = display_header(request, sizeof(update->position));
    cursor->moved = false;
    return sizeof(update->position);
}

static uint32_t take_cursor(struct outbox *outbox, struct display_cursor_update *update) {
    uint32_t scanout_id, length;
    struct outbox_cursor *cursor;

    if (outbox->cursors_waiting == 0)
        return 0;
    scanout_id = (uint32_t)__builtin_ctz(outbox->cursors_waiting);
    cursor = &outbox->cursors[scanout_id];
    update->position.scanout_id = scanout_id;
    update->position.x = cursor->x;
    update->position.y = cursor->y;
    length = cursor->defined ? take_definition(cursor, update) : take_position(cursor, update);
    if (!cursor->moved)
        outbox->cursors_waiting &= ~(1u << scanout_id);
    return length;
}

uint32_t outbox_take_cursor(struct outbox *outbox, struct display_cursor_update *update) {
    uint32_t length;

    pthread_mutex_lock(&outbox->lock);
    length = outbox->display.given ? 0 : take_cursor(outbox, update);
    pthread_mutex_unlock(&outbox->lock);
    return length;
}

uint64_t outbox_cursor_used(struct outbox *outbox) {
    uint64_t used;

    pthread_mutex_lock(&outbox->lock);
    used = outbox->cursor_used;
    pthread_mutex_unlock(&outbox->lock);
    return used;
}

unsigned outbox_take_viewers(struct outbox *outbox, int viewers[OUTBOX_VIEWERS],
                             uint64_t *panorama_max) {
    unsigned count;

    if (!atomic_load(&outbox->viewers_wait))
        return 0;
    pthread_mutex_lock(&outbox->lock);
    atomic_store(&outbox->viewers_wait, false);
    count = outbox->viewer_count;
    memcpy(viewers, outbox->viewers, sizeof(outbox->viewers));
    outbox->viewer_count = 0;
    *panorama_max = outbox->panorama_max;
    pthread_mutex_unlock(&outbox->lock);
    return count;
}

static bool see_picture(const struct outbox *outbox, uint32_t scanout_id,
                        struct seen_cursor *seen) {
    const struct outbox_cursor *cursor = &outbox->cursors[scanout_id];
    bool another = (outbox->pictures_unseen & (1u << scanout_id)) || seen->scanout_id != scanout_id;

    seen->known = cursor->known;
    if (!another || !cursor->known)
        return false;
    memcpy(seen->pixels, cursor->pixels, sizeof(seen->pixels));
    seen->hot_x = cursor->hot_x;
    seen->hot_y = cursor->hot_y;
    return true;
}

/* True: viewers see this cursor.  A cursor that is hidden on another scanout does not count. */
static bool see(const struct outbox *outbox, uint32_t scanout_id, struct seen_cursor *seen,
                bool *picture) {
    const struct outbox_cursor *cursor = &outbox->cursors[scanout_id];

    if (!cursor->visible && scanout_id != seen->scanout_id)
        return false;
    *picture |= see_picture(outbox, scanout_id, seen);
    seen->scanout_id = scanout_id;
    seen->visible = cursor->visible;
    seen->x = cursor->x;
    seen->y = cursor->y;
    return true;
}

bool outbox_see_cursor(struct outbox *outbox, struct seen_cursor *seen, bool *picture) {
    bool changed = false;

    *picture = false;
    pthread_mutex_lock(&outbox->lock);
    for (; outbox->cursors_unseen != 0; outbox->cursors_unseen &= outbox->cursors_unseen - 1)
        changed |= see(outbox, (uint32_t)__builtin_ctz(outbox->cursors_unseen), seen, picture);
    outbox->pictures_unseen = 0;
    pthread_mutex_unlock(&outbox->lock);
    return changed;
}
