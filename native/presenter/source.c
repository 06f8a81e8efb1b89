/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* recvmmsg() */
#include "presenter/source.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "presenter/display_message.h"
#include "shared/image.h"
#include "shared/rectangle.h"

void source_init(struct source *source) {
    *source = (struct source){.fd = -1};
}

void source_use(struct source *source, int fd) {
    if (source->fd >= 0)
        close(source->fd);
    pixel_file_release(source->staging);
    for (unsigned i = 0; i < source->image_count; i++)
        pixel_file_release(source->images[i]);
    source_init(source);
    source->fd = fd;
}

void source_close_descriptors(struct received *batch, int count) {
    for (int i = 0; i < count; i++)
        if (batch[i].fd >= 0)
            close(batch[i].fd);
}

/* ---- receiving ---- */

/* The kernel fits a second descriptor into the space that one takes with its padding. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};
enum { DESCRIPTORS_MAX = (CMSG_SPACE(sizeof(int)) - CMSG_LEN(0)) / sizeof(int) };

/* The one descriptor of a message, -1: none; -2: more than one, all closed. */
static int take_descriptor(struct msghdr *message) {
    int descriptors[DESCRIPTORS_MAX];
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    size_t count;

    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return -1;
    count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(descriptors, CMSG_DATA(header), count * sizeof(int));
    if (count == 1)
        return descriptors[0];
    for (size_t i = 0; i < count; i++)
        close(descriptors[i]);
    return count == 0 ? -1 : -2;
}

enum { RECORD_BYTES = sizeof(struct present_record) };

/* How many records it has, or -EPROTO; what is attached is the first one's, or closed. */
static int take_packet(struct mmsghdr *packet, struct received *batch) {
    const struct present_record *records = packet->msg_hdr.msg_iov->iov_base;
    int fd = take_descriptor(&packet->msg_hdr), count = (int)(packet->msg_len / RECORD_BYTES);
    bool whole = !(packet->msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC));

    if (fd == -2 || !whole || packet->msg_len % RECORD_BYTES != 0) {
        if (fd >= 0)
            close(fd);
        return -EPROTO;
    }
    for (int i = 0; i < count; i++)
        batch[i] = (struct received){.record = records[i], .fd = i == 0 ? fd : -1};
    return count;
}

/* A closed channel gives empty packets after the last one; no packet is empty. */
static int count_packets(struct mmsghdr *packets, int count) {
    int whole = 0;

    while (whole < count && packets[whole].msg_len > 0)
        whole++;
    for (int i = whole; i < count; i++) {
        int fd = take_descriptor(&packets[i].msg_hdr);
        if (fd >= 0)
            close(fd);
    }
    return whole;
}

/* All of them are looked at, since each may have a descriptor. */
static int take_packets(struct mmsghdr *packets, struct received *batch, int count) {
    int records = 0, error = 0;

    for (int i = 0; i < count; i++) {
        int taken = take_packet(&packets[i], &batch[records]);
        if (taken < 0)
            error = taken;
        else
            records += taken;
    }
    if (error == 0)
        return records;
    source_close_descriptors(batch, records);
    return error;
}

int source_receive(struct source *source, struct received batch[SOURCE_BATCH]) {
    struct present_record records[SOURCE_PACKETS][PRESENT_PACKET];
    struct mmsghdr packets[SOURCE_PACKETS];
    struct iovec parts[SOURCE_PACKETS];
    union control controls[SOURCE_PACKETS];
    int count, whole;

    for (unsigned i = 0; i < SOURCE_PACKETS; i++) {
        parts[i] = (struct iovec){records[i], sizeof(records[i])};
        packets[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i],
                                                  .msg_iovlen = 1,
                                                  .msg_control = &controls[i],
                                                  .msg_controllen = sizeof(controls[i])}};
    }
    count = recvmmsg(source->fd, packets, SOURCE_PACKETS, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    /* Reported once, before the packets: the other end has closed with answers unread. */
    if (count < 0 && errno == ECONNRESET)
        count =
            recvmmsg(source->fd, packets, SOURCE_PACKETS, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    source->more = false;
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    whole = count_packets(packets, count);
    source->ended = whole < count;
    source->more = whole == SOURCE_PACKETS;
    return whole == 0 ? -EPIPE : take_packets(packets, batch, whole);
}

/* ---- the staging ring and the images ---- */

int source_set_staging(struct source *source, const struct received *received) {
    if (received->fd < 0)
        return -EPROTO;
    if (source->staging != NULL) {
        close(received->fd);
        return -EPROTO;
    }
    source->staging = pixel_file_open(received->fd, PRESENT_STAGING_BYTES);
    return source->staging != NULL ? 0 : -EPROTO;
}

static struct pixel_file **find_image(struct source *source, uint32_t image_id) {
    for (unsigned i = 0; i < source->image_count; i++)
        if (source->images[i]->image_id == image_id)
            return &source->images[i];
    return NULL;
}

static void drop_image(struct source *source, struct pixel_file **image) {
    pixel_file_release(*image);
    *image = source->images[--source->image_count];
}

int source_forget_image(struct source *source, const struct received *received) {
    struct pixel_file **image = find_image(source, received->record.image_id);

    if (received->fd >= 0) {
        close(received->fd);
        return -EPROTO;
    }
    if (image != NULL)
        drop_image(source, image);
    return 0;
}

static int add_image(struct source *source, const struct received *received) {
    const struct present_record *record = &received->record;
    struct pixel_file *image;

    if (source->image_count == PRESENT_IMAGES || find_image(source, record->image_id) != NULL) {
        close(received->fd);
        return -EPROTO;
    }
    image =
        pixel_file_open(received->fd, image_file_bytes(record->image_width, record->image_height));
    if (image == NULL)
        return -EPROTO;
    image->image_id = record->image_id;
    image->width = record->image_width;
    image->height = record->image_height;
    source->images[source->image_count++] = image;
    return 0;
}

/* ---- rectangles ---- */

static bool dimension(uint32_t value) {
    return value >= 1 && value <= IMAGE_SIDE_MAX;
}

static uint32_t room(uint32_t limit, uint32_t offset) {
    return offset < limit ? limit - offset : 0;
}

int source_check_scanout(const struct received *received) {
    const struct present_record *record = &received->record;

    if (received->fd >= 0) {
        close(received->fd);
        return -EPROTO;
    }
    if (record->scanout_id >= DISPLAY_SCANOUTS)
        return -EPROTO;
    if (record->scanout_width == 0 || record->scanout_height == 0) /* disabled */
        return 0;
    return dimension(record->scanout_width) && dimension(record->scanout_height) ? 0 : -EPROTO;
}

/* The display's driver finds out whether the descriptor is what the record says. */
static int check_buffer(const struct present_buffer *buffer) {
    if (buffer->scanout_id >= DISPLAY_SCANOUTS || buffer->stride == 0)
        return -EPROTO;
    return dimension(buffer->width) && dimension(buffer->height) ? 0 : -EPROTO;
}

int source_check_buffer(const struct received *received, struct present_buffer *buffer) {
    memcpy(buffer, &received->record, sizeof(*buffer));
    if (received->fd < 0)
        return -EPROTO;
    if (check_buffer(buffer) == 0)
        return 0;
    close(received->fd);
    return -EPROTO;
}

static int check_rectangle(const struct present_record *record) {
    if (record->scanout_id >= DISPLAY_SCANOUTS)
        return -EPROTO;
    if (!dimension(record->scanout_width) || !dimension(record->scanout_height))
        return -EPROTO;
    return dimension(record->width) && dimension(record->height) ? 0 : -EPROTO;
}

static void clip_to_scanout(struct pending *entry) {
    const struct present_record *record = &entry->record;

    entry->x = record->x;
    entry->y = record->y;
    entry->width = smaller_u32(record->width, room(record->scanout_width, record->x));
    entry->height = smaller_u32(record->height, room(record->scanout_height, record->y));
}

static int fill_staged(struct source *source, struct pending *entry) {
    const struct present_record *record = &entry->record;
    size_t length = image_stride(record->width) * record->height;

    if (source->staging == NULL || record->position < source->staged ||
        record->position > UINT64_MAX - length)
        return -EPROTO;
    entry->offset = (size_t)(record->position % PRESENT_STAGING_BYTES);
    if (length > PRESENT_STAGING_BYTES - entry->offset)
        return -EPROTO;
    source->staged = record->position + length;
    entry->stride = image_stride(record->width);
    entry->file = pixel_file_hold(source->staging);
    return 0;
}

static int fill_image(struct source *source, const struct received *received,
                      struct pending *entry) {
    const struct present_record *record = &entry->record;
    struct pixel_file **known, *image;

    if (received->fd >= 0 && add_image(source, received) < 0)
        return -EPROTO;
    known = find_image(source, record->image_id);
    if (known == NULL)
        return -EPROTO;
    image = *known;
    if (image->width != record->image_width || image->height != record->image_height)
        return -EPROTO;
    entry->width = smaller_u32(entry->width, room(image->width, record->source_x));
    entry->height = smaller_u32(entry->height, room(image->height, record->source_y));
    entry->stride = image_stride(image->width);
    entry->offset = image_slot_offset(image->width, image->height, record->slot);
    if (entry->width > 0 && entry->height > 0)
        entry->offset +=
            record->source_y * entry->stride + (size_t)record->source_x * IMAGE_PIXEL_BYTES;
    entry->file = pixel_file_hold(image);
    return 0;
}

static int check_image(const struct present_record *record) {
    if (!dimension(record->image_width) || !dimension(record->image_height))
        return -EPROTO;
    return record->slot < IMAGE_SLOTS ? 0 : -EPROTO;
}

int source_fill(struct source *source, const struct received *received, struct pending *entry) {
    const struct present_record *record = &received->record;
    bool staged = record->kind == PRESENT_STAGED;

    if (check_rectangle(record) < 0 || (staged ? received->fd >= 0 : check_image(record) < 0)) {
        if (received->fd >= 0)
            close(received->fd);
        return -EPROTO;
    }
    entry->record = *record;
    clip_to_scanout(entry);
    return staged ? fill_staged(source, entry) : fill_image(source, received, entry);
}

/* ---- answers ---- */

int source_answer(struct source *source, const struct present_record *record) {
    ssize_t sent = send(source->fd, record, sizeof(*record), MSG_DONTWAIT | MSG_NOSIGNAL);

    /* Any other failure appears as the channel's end at the next read. */
    source->blocked = sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM);
    return source->blocked ? 0 : 1;
}

/*
 * Every answer wakes the device process from its queue, so one answer stands for many: at most an
 * eighth of the ring is free without the other side knowing, and a channel that is full of small
 * rectangles has more of them than the second limit.
 */
void source_consumed(struct source *source, uint64_t position) {
    struct present_record record = {.kind = PRESENT_CONSUMED, .position = position};

    if (source->staging == NULL || position == source->told)
        return;
    if (source->untold < SOURCE_BATCH && position - source->told < PRESENT_STAGING_BYTES / 8)
        return;
    if (source_answer(source, &record) == 0)
        return;
    source->told = position;
    source->untold = 0;
}
