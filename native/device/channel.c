/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include "device/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/rights.h"
#include "shared/sealed.h"

/* How many records are sent before a look at what came back, unless something waits for that. */
enum { RECEIVE_EVERY = 32 };

static bool try_send(struct channel *channel, const struct present_record *record, int fd);

/* --- opening and closing */

static int open_staging(struct channel *channel) {
    struct present_record record = {.kind = PRESENT_STAGING};

    channel->staging_fd = sealed_memory_create("vgpud-staging", PRESENT_STAGING_BYTES);
    if (channel->staging_fd < 0)
        return channel->staging_fd;
    channel->staging = mmap(NULL, PRESENT_STAGING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                            channel->staging_fd, 0);
    if (channel->staging == MAP_FAILED) {
        channel->staging = NULL;
        return -ENOMEM;
    }
    return try_send(channel, &record, channel->staging_fd) ? 0 : -EAGAIN;
}

int channel_open(struct channel *channel, int fd) {
    memset(channel, 0, sizeof(*channel));
    channel->fd = channel->staging_fd = -1;
    if (fd < 0)
        return 0;
    channel->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return channel->fd < 0 ? -errno : open_staging(channel);
}

void channel_close(struct channel *channel) {
    if (channel->fd >= 0)
        close(channel->fd);
    if (channel->staging_fd >= 0)
        close(channel->staging_fd);
    if (channel->staging != NULL)
        munmap(channel->staging, PRESENT_STAGING_BYTES);
    channel->fd = channel->staging_fd = -1;
    channel->staging = NULL;
}

/* The session ends this process when it notices; until then nothing is shown. */
static void lost(struct channel *channel) {
    close(channel->fd);
    channel->fd = -1;
    channel->full = false;
    channel->batched = 0;
}

/* --- sending */

static bool send_failed(struct channel *channel) {
    bool again = errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ||
                 errno == ETOOMANYREFS;

    if (again)
        channel->full = true;
    else
        lost(channel);
    return !again; /* nobody there: done */
}

/* `fd` -1: none attached. */
static bool try_send(struct channel *channel, const struct present_record *record, int fd) {
    union rights rights;
    struct iovec part = {(void *)(uintptr_t)record, sizeof(*record)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (!channel_send_batch(channel)) /* in order */
        return false;
    if (channel->fd < 0)
        return true;
    if (fd >= 0)
        rights_attach(&message, &rights, fd);
    if (sendmsg(channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return send_failed(channel);
    channel->full = false;
    channel->records++;
    channel->unread++;
    return true;
}

bool channel_send_batch(struct channel *channel) {
    size_t length = channel->batched * sizeof(channel->batch[0]);

    if (length == 0)
        return true;
    if (send(channel->fd, channel->batch, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return send_failed(channel);
    channel->full = false;
    channel->batched = 0;
    return true;
}

bool channel_scanout(struct channel *channel, const struct present_record *record) {
    return try_send(channel, record, -1);
}

bool channel_buffer(struct channel *channel, const struct present_buffer *buffer, int fd) {
    struct present_record record;

    memcpy(&record, buffer, sizeof(record));
    return try_send(channel, &record, fd);
}

/* --- the staging ring */

/* Where `bytes` fit in one piece; false: not now. */
static bool staging_room(struct channel *channel, uint64_t bytes, uint64_t *position) {
    uint64_t left = PRESENT_STAGING_BYTES - channel->produced % PRESENT_STAGING_BYTES;

    *position = channel->produced;
    /* When the ring is empty, start at its beginning, so that the same few pages are used again. */
    if (channel->consumed == channel->produced)
        *position = channel->produced = channel->consumed =
            channel->produced + left % PRESENT_STAGING_BYTES;
    else if (left < bytes)
        *position += left;
    return *position + bytes - channel->consumed <= PRESENT_STAGING_BYTES;
}

static void copy_rows(uint8_t *to, const struct present_record *record, const struct canvas *canvas,
                      int slot) {
    uint64_t stride = canvas_stride(canvas);
    size_t row = (size_t)record->width * IMAGE_PIXEL_BYTES;
    const uint8_t *from = canvas_pixels(canvas, slot) + record->source_y * stride +
                          (uint64_t)record->source_x * IMAGE_PIXEL_BYTES;

    for (uint32_t y = 0; y < record->height; y++, to += row, from += stride)
        memcpy(to, from, row);
}

bool channel_staged(struct channel *channel, struct present_record *record, struct canvas *canvas,
                    int slot) {
    uint64_t bytes = image_stride(record->width) * record->height;

    if (channel->fd < 0)
        return true;
    if (channel->batched == PRESENT_PACKET && !channel_send_batch(channel))
        return false;
    if (!staging_room(channel, bytes, &record->position) &&
        !(channel_receive(channel) && staging_room(channel, bytes, &record->position)))
        return false;
    record->kind = PRESENT_STAGED;
    copy_rows(channel->staging + record->position % PRESENT_STAGING_BYTES, record, canvas, slot);
    channel->produced = record->position + bytes;
    channel->batch[channel->batched++] = *record;
    channel->records++;
    channel->unread++;
    return true;
}

/* --- images */

static struct known_image *find_known(struct channel *channel, uint32_t image_id) {
    for (int i = 0; i < PRESENT_IMAGES; i++)
        if (channel->known[i].image_id == image_id)
            return &channel->known[i];
    return NULL;
}

static bool send_forget(struct channel *channel, struct known_image *known) {
    struct present_record record = {.kind = PRESENT_FORGET, .image_id = known->image_id};

    if (!try_send(channel, &record, -1))
        return false;
    *known = (struct known_image){0};
    return true;
}

void channel_forget(struct channel *channel, struct canvas *canvas) {
    struct known_image *known = find_known(channel, canvas->image_id);

    if (known == NULL)
        return;
    known->canvas = NULL;
    send_forget(channel, known); /* if that fails, again when the entry is needed */
}

/* An image that nobody needs, otherwise the one that was shown longest ago. */
static struct known_image *worst_known(struct channel *channel) {
    struct known_image *worst = NULL;

    for (int i = 0; i < PRESENT_IMAGES; i++) {
        struct known_image *known = &channel->known[i];
        if (known->canvas == NULL)
            return known;
        if (!canvas_pinned(known->canvas) &&
            (worst == NULL || known->last_record < worst->last_record))
            worst = known;
    }
    return worst;
}

/* An entry for an image that the presenter does not know yet. */
static struct known_image *make_known(struct channel *channel) {
    struct known_image *known = find_known(channel, 0);

    if (known != NULL)
        return known;
    known = worst_known(channel);
    return known != NULL && send_forget(channel, known) ? known : NULL;
}

static bool may_reference(struct channel *channel, uint32_t scanout_id, const struct canvas *canvas,
                          int slot) {
    return channel->outstanding[scanout_id] < PRESENT_OUTSTANDING && canvas_may_pin(canvas, slot);
}

bool channel_image(struct channel *channel, struct present_record *record, struct canvas *canvas,
                   int slot) {
    struct known_image *known = find_known(channel, canvas->image_id);
    bool introduce = known == NULL;

    if (channel->fd < 0)
        return true;
    if (!may_reference(channel, record->scanout_id, canvas, slot) &&
        !(channel_receive(channel) && may_reference(channel, record->scanout_id, canvas, slot)))
        return false;
    if (introduce)
        known = make_known(channel);
    if (known == NULL)
        return false;
    record->kind = PRESENT_IMAGE;
    record->image_id = canvas->image_id;
    record->slot = (uint32_t)slot;
    record->image_width = canvas->width;
    record->image_height = canvas->height;
    if (!try_send(channel, record, introduce ? canvas->fd : -1))
        return false;
    if (channel->fd < 0)
        return true;
    *known = (struct known_image){
        .image_id = canvas->image_id, .canvas = canvas, .last_record = channel->records};
    canvas->slots[slot].pins++;
    channel->outstanding[record->scanout_id]++;
    return true;
}

/* --- what comes back */

static void consumed(struct channel *channel, const struct present_record *record) {
    if (record->position > channel->consumed && record->position <= channel->produced)
        channel->consumed = record->position;
}

static void released(struct channel *channel, const struct present_record *record) {
    struct known_image *known = find_known(channel, record->image_id);

    if (record->image_id == 0 || record->slot >= IMAGE_SLOTS ||
        record->scanout_id >= STATE_SCANOUTS)
        return;
    if (channel->outstanding[record->scanout_id] > 0)
        channel->outstanding[record->scanout_id]--;
    if (known != NULL && known->canvas != NULL && known->canvas->slots[record->slot].pins > 0)
        known->canvas->slots[record->slot].pins--;
}

static void take(struct channel *channel, const struct present_record *record) {
    if (record->kind == PRESENT_CONSUMED)
        consumed(channel, record);
    else if (record->kind == PRESENT_RELEASED)
        released(channel, record);
}

bool channel_receive(struct channel *channel) {
    struct present_record record;
    bool any = false;
    ssize_t length;

    channel->unread = 0;
    while (channel->fd >= 0) {
        length = recv(channel->fd, &record, sizeof(record), MSG_DONTWAIT);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0 && errno == EAGAIN)
            break;
        any = true;
        if (length <= 0)
            lost(channel);
        else if (length == sizeof(record))
            take(channel, &record);
    }
    return any;
}

void channel_receive_sometimes(struct channel *channel) {
    if (channel->unread >= RECEIVE_EVERY)
        channel_receive(channel);
}
