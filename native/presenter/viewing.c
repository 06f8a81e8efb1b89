/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* F_ADD_SEALS */
#include "presenter/viewing.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/image.h"
#include "shared/sealed.h"
#include "shared/view.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* RFB counts a screen's pixels in 16 bits. */
enum { PANORAMA_SIDE_MAX = 65535 };

void viewing_init(struct viewing *viewing) {
    *viewing = (struct viewing){.fd = -1, .bytes_max = UINT64_MAX};
}

/* ---- the panorama ---- */

static uint64_t panorama_bytes(const struct panorama_area *panorama) {
    return view_panorama_bytes(panorama->width, panorama->height);
}

static void drop_panorama(struct viewing *viewing) {
    if (viewing->fd < 0)
        return;
    munmap(viewing->pixels, panorama_bytes(&viewing->panorama));
    close(viewing->fd);
    viewing->fd = -1;
    viewing->panorama = (struct panorama_area){0};
    memset(viewing->places, 0, sizeof(viewing->places));
}

/* Places scanouts side by side; true if this one still fits. */
static bool find_place(const struct viewing *viewing, struct panorama_area *panorama,
                       const struct panorama_area *size) {
    struct panorama_area wanted = {.width = panorama->width + size->width,
                                   .height = larger_u32(panorama->height, size->height)};

    if (size->width == 0 || size->height == 0 || wanted.width > PANORAMA_SIDE_MAX ||
        panorama_bytes(&wanted) > viewing->bytes_max)
        return false;
    *panorama = wanted;
    return true;
}

static void lay_out(struct viewing *viewing, struct panorama_area *panorama,
                    struct rectangle places[DISPLAY_SCANOUTS]) {
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++) {
        const struct panorama_area *size = &viewing->sizes[scanout_id];
        uint32_t left = panorama->width;
        if (find_place(viewing, panorama, size))
            places[scanout_id] =
                (struct rectangle){.x = left, .width = size->width, .height = size->height};
    }
}

static void draw_cursor(struct viewing *viewing) {
    if (viewing->fd >= 0)
        memcpy(viewing->pixels +
                   view_pixel_bytes(viewing->panorama.width, viewing->panorama.height),
               viewing->cursor.pixels, sizeof(viewing->cursor.pixels));
}

/* From now on others may map it to read it, but not to write it. */
static int make_panorama(struct viewing *viewing, const struct panorama_area *panorama) {
    uint64_t bytes = panorama_bytes(panorama);
    int fd = sealed_memory_create("vgpud-panorama", bytes);
    void *pixels;

    if (fd < 0)
        return fd;
    pixels = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (pixels == MAP_FAILED || fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0) {
        if (pixels != MAP_FAILED)
            munmap(pixels, bytes);
        close(fd);
        return -ENOMEM;
    }
    viewing->fd = fd;
    viewing->pixels = pixels;
    viewing->panorama = *panorama;
    return 0;
}

/* Copies from the old panorama those scanouts whose size is the same. */
static void carry_over(struct viewing *viewing, const struct viewing *before) {
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++) {
        const struct rectangle *from = &before->places[scanout_id];
        const struct rectangle *to = &viewing->places[scanout_id];
        if (from->width != to->width || from->height != to->height)
            continue;
        for (uint32_t y = 0; y < to->height; y++)
            memcpy(
                viewing->pixels + y * image_stride(viewing->panorama.width) + image_stride(to->x),
                before->pixels + y * image_stride(before->panorama.width) + image_stride(from->x),
                image_stride(to->width));
    }
}

static void damage_everywhere(struct viewing *viewing, const struct rectangle *damage) {
    for (unsigned i = 0; i < viewing->count; i++)
        viewing->viewers[i].damage = rectangle_around(&viewing->viewers[i].damage, damage);
}

static void announce(struct viewing *viewing, struct viewer *viewer) {
    viewer->panorama_due = viewing->fd >= 0;
    viewer->damage =
        (struct rectangle){.width = viewing->panorama.width, .height = viewing->panorama.height};
}

/* With no scanout left the panorama stays, and is dark. */
static void darken(struct viewing *viewing) {
    const struct rectangle whole = {.width = viewing->panorama.width,
                                    .height = viewing->panorama.height};

    memset(viewing->places, 0, sizeof(viewing->places));
    if (viewing->fd < 0)
        return;
    memset(viewing->pixels, 0, view_pixel_bytes(whole.width, whole.height));
    damage_everywhere(viewing, &whole);
}

static void renew_panorama(struct viewing *viewing) {
    struct viewing before = *viewing;
    struct panorama_area panorama = {0};
    struct rectangle places[DISPLAY_SCANOUTS] = {0};

    viewing->stale = false;
    lay_out(viewing, &panorama, places);
    if (panorama.width == 0) {
        darken(viewing);
        return;
    }
    viewing->fd = -1;
    if (make_panorama(viewing, &panorama) < 0) {
        *viewing = before; /* it stays as it was, until something changes again */
        viewing->stale = false;
        darken(viewing);
        return;
    }
    memcpy(viewing->places, places, sizeof(places));
    draw_cursor(viewing);
    if (before.fd >= 0)
        carry_over(viewing, &before);
    drop_panorama(&before);
    for (unsigned i = 0; i < viewing->count; i++)
        announce(viewing, &viewing->viewers[i]);
}

void viewing_set_size(struct viewing *viewing, uint32_t scanout_id, uint32_t width,
                      uint32_t height) {
    struct panorama_area *size = &viewing->sizes[scanout_id];

    if (size->width == width && size->height == height)
        return;
    *size = (struct panorama_area){width, height};
    viewing->stale = true;
}

/* ---- pixels ---- */

/*
 * By a system call, so that nothing that the device process does to its file raises a signal here.
 */
static bool copy(const struct pixel_file *file, uint64_t from, uint8_t *to, uint64_t bytes) {
    while (bytes > 0) {
        ssize_t count = pread(file->fd, to, bytes, (off_t)from);
        if (count <= 0)
            return false;
        from += (uint64_t)count;
        to += count;
        bytes -= (uint64_t)count;
    }
    return true;
}

static void copy_rows(struct viewing *viewing, const struct pending *entry,
                      const struct rectangle *seen) {
    uint64_t stride = image_stride(viewing->panorama.width), row = image_stride(seen->width);
    uint8_t *to = viewing->pixels + seen->y * stride + image_stride(seen->x);

    if (row == stride && row == entry->stride) {
        copy(entry->file, entry->offset, to, row * seen->height);
        return;
    }
    for (uint32_t y = 0; y < seen->height; y++)
        if (!copy(entry->file, entry->offset + y * entry->stride, to + y * stride, row))
            return;
}

void viewing_draw(struct viewing *viewing, const struct pending *entry) {
    const struct rectangle *place = &viewing->places[entry->record.scanout_id];
    struct rectangle seen = {
        .x = entry->x, .y = entry->y, .width = entry->width, .height = entry->height};

    if (viewing->count == 0)
        return;
    if (viewing->stale)
        renew_panorama(viewing);
    if (!rectangle_within(&seen, place->width, place->height))
        return;
    seen.x += place->x;
    copy_rows(viewing, entry, &seen);
    damage_everywhere(viewing, &seen);
}

/* ---- viewers ---- */

static void add(struct viewing *viewing, int fd) {
    struct viewer *viewer;

    if (viewing->count == OUTBOX_VIEWERS) {
        close(fd);
        return;
    }
    viewer = &viewing->viewers[viewing->count++];
    *viewer = (struct viewer){
        .fd = fd, .cursor_due = viewing->cursor.known, .position_due = viewing->cursor.known};
    if (viewing->count == 1)
        viewing->stale = true;
    announce(viewing, viewer);
}

void viewing_collect(struct viewing *viewing, struct outbox *outbox) {
    int channels[OUTBOX_VIEWERS];
    unsigned count = outbox_take_viewers(outbox, channels, &viewing->bytes_max);

    for (unsigned i = 0; i < count; i++)
        add(viewing, channels[i]);
}

void viewing_remove(struct viewing *viewing, unsigned index) {
    close(viewing->viewers[index].fd);
    viewing->viewers[index] = viewing->viewers[--viewing->count];
    if (viewing->count == 0)
        drop_panorama(viewing);
}

void viewing_destroy(struct viewing *viewing) {
    while (viewing->count > 0)
        viewing_remove(viewing, 0);
    drop_panorama(viewing);
}

/* ---- what they are told ---- */

/* True: it is under way, or the viewer has gone, which poll() will report. */
static bool say(struct viewer *viewer, struct view_record record, int descriptor) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {&record, sizeof(record)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(int));
    }
    sent = sendmsg(viewer->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    viewer->blocked = sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ||
                                   errno == ETOOMANYREFS);
    return !viewer->blocked;
}

static bool say_panorama(const struct viewing *viewing, struct viewer *viewer) {
    const struct view_record record = {.kind = VIEW_PANORAMA,
                                       .width = viewing->panorama.width,
                                       .height = viewing->panorama.height};

    viewer->panorama_due = !say(viewer, record, viewing->fd);
    return !viewer->panorama_due;
}

static bool say_damage(struct viewer *viewer) {
    const struct rectangle *damage = &viewer->damage;
    const struct view_record record = {.kind = VIEW_DAMAGE,
                                       .x = damage->x,
                                       .y = damage->y,
                                       .width = damage->width,
                                       .height = damage->height};

    if (!say(viewer, record, -1))
        return false;
    viewer->damage = (struct rectangle){0};
    return true;
}

static bool say_cursor(const struct viewing *viewing, struct viewer *viewer) {
    const struct view_record record = {
        .kind = VIEW_CURSOR, .width = viewing->cursor.hot_x, .height = viewing->cursor.hot_y};

    viewer->cursor_due = !say(viewer, record, -1);
    return !viewer->cursor_due;
}

static bool say_position(const struct viewing *viewing, struct viewer *viewer) {
    const struct seen_cursor *cursor = &viewing->cursor;
    const struct view_record record = {.kind = VIEW_CURSOR_AT,
                                       .value = cursor->visible,
                                       .x = viewing->places[cursor->scanout_id].x + cursor->x,
                                       .y = cursor->y};

    viewer->position_due = !say(viewer, record, -1);
    return !viewer->position_due;
}

static void tell(const struct viewing *viewing, struct viewer *viewer) {
    if (viewing->fd < 0 || (viewer->panorama_due && !say_panorama(viewing, viewer)))
        return;
    if (!rectangle_empty(&viewer->damage) && !say_damage(viewer))
        return;
    if (viewer->cursor_due && !say_cursor(viewing, viewer))
        return;
    if (viewer->position_due)
        say_position(viewing, viewer);
}

static void look_at_cursor(struct viewing *viewing, struct outbox *outbox) {
    bool picture;

    if (!outbox_see_cursor(outbox, &viewing->cursor, &picture))
        return;
    if (picture)
        draw_cursor(viewing);
    for (unsigned i = 0; i < viewing->count; i++) {
        viewing->viewers[i].cursor_due |= picture;
        viewing->viewers[i].position_due = true;
    }
}

void viewing_tell(struct viewing *viewing, struct outbox *outbox) {
    if (viewing->count == 0)
        return;
    if (viewing->stale)
        renew_panorama(viewing);
    look_at_cursor(viewing, outbox);
    for (unsigned i = 0; i < viewing->count; i++)
        if (!viewing->viewers[i].blocked)
            tell(viewing, &viewing->viewers[i]);
}
