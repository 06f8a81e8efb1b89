/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include "presenter/buffers.h"

#include <fcntl.h>
#include <unistd.h>

void buffers_init(struct buffers *buffers) {
    *buffers = (struct buffers){.sending = -1};
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++)
        buffers->scanouts[scanout_id].fd = -1;
}

void buffers_destroy(struct buffers *buffers) {
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++)
        buffers_forget(buffers, scanout_id);
}

bool buffers_wanted(const struct buffers *buffers, uint32_t scanout_id) {
    return buffers->scanouts[scanout_id].fd >= 0;
}

static struct rectangle whole(const struct shown_buffer *shown) {
    return (struct rectangle){.width = shown->buffer.width, .height = shown->buffer.height};
}

/* ---- what the device process wants ---- */

void buffers_show(struct buffers *buffers, const struct present_buffer *buffer, int fd) {
    struct shown_buffer *shown = &buffers->scanouts[buffer->scanout_id];

    if (shown->fd >= 0)
        close(shown->fd);
    *shown =
        (struct shown_buffer){.fd = fd, .buffer = *buffer, .fresh = true, .known = shown->known};
    buffers->leaving &= ~(1u << buffer->scanout_id);
}

void buffers_damage(struct buffers *buffers, uint32_t scanout_id,
                    const struct rectangle *rectangle) {
    struct shown_buffer *shown = &buffers->scanouts[scanout_id];
    struct rectangle all = whole(shown);

    if (shown->fd < 0)
        return;
    /* A rectangle that is not inside does not tell where something was drawn. */
    if (!rectangle_within(rectangle, all.width, all.height))
        rectangle = &all;
    shown->damage = rectangle_around(&shown->damage, rectangle);
}

bool buffers_forget(struct buffers *buffers, uint32_t scanout_id) {
    struct shown_buffer *shown = &buffers->scanouts[scanout_id];

    if (shown->fd < 0)
        return false;
    close(shown->fd);
    shown->fd = -1;
    shown->damage = (struct rectangle){0};
    if (shown->known)
        buffers->leaving |= 1u << scanout_id;
    return shown->known;
}

void buffers_tell_modifiers(struct buffers *buffers) {
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++) {
        struct shown_buffer *shown = &buffers->scanouts[scanout_id];
        if (shown->fd < 0 || shown->fresh)
            continue;
        shown->fresh = true;
        shown->damage = whole(shown);
    }
}

void buffers_tell_again(struct buffers *buffers) {
    buffers_complete(buffers);
    buffers_tell_modifiers(buffers);
    for (uint32_t scanout_id = 0; scanout_id < DISPLAY_SCANOUTS; scanout_id++)
        buffers->scanouts[scanout_id].known = false;
    buffers->leaving = 0;
    buffers->awaited = false;
}

/* ---- what the display is told ---- */

bool buffers_begin_leaving(struct buffers *buffers, struct sender *sender) {
    struct display_dmabuf_scanout *message = &buffers->scanout.scanout;

    if (buffers->leaving == 0)
        return false;
    *message = (struct display_dmabuf_scanout){
        .header = display_header(DISPLAY_DMABUF_SCANOUT, sizeof(*message)),
        .scanout_id = (uint32_t)__builtin_ctz(buffers->leaving),
    };
    buffers->leaving &= buffers->leaving - 1;
    buffers->scanouts[message->scanout_id].known = false;
    sender_add(sender, message, sizeof(*message));
    return true;
}

/* QEMU uses any modifier that it gets: an unknown one must be left out. */
static void add_scanout(struct buffers *buffers, struct sender *sender,
                        const struct present_buffer *buffer, bool modifiers) {
    bool second = modifiers && buffer->modifier != PRESENT_NO_MODIFIER;
    uint32_t request = second ? DISPLAY_DMABUF_SCANOUT2 : DISPLAY_DMABUF_SCANOUT;
    size_t length = second ? sizeof(buffers->scanout) : sizeof(buffers->scanout.scanout);

    buffers->scanout = (struct display_dmabuf_scanout2){
        .scanout =
            {
                .header = display_header(request, length),
                .scanout_id = buffer->scanout_id,
                .width = buffer->width,
                .height = buffer->height,
                .fd_width = buffer->width,
                .fd_height = buffer->height,
                .fd_stride = buffer->stride,
                .fd_flags = buffer->flags,
                .fd_drm_fourcc = buffer->fourcc,
            },
        .modifier = buffer->modifier,
    };
    sender_add_descriptor(sender, buffers->sending);
    sender_add(sender, &buffers->scanout, length);
}

static void add_update(struct buffers *buffers, struct sender *sender, struct shown_buffer *shown) {
    buffers->update = (struct display_update){
        .header = display_header(DISPLAY_DMABUF_UPDATE, sizeof(buffers->update)),
        .scanout_id = shown->buffer.scanout_id,
        .x = shown->damage.x,
        .y = shown->damage.y,
        .width = shown->damage.width,
        .height = shown->damage.height,
    };
    shown->damage = (struct rectangle){0};
    sender_add(sender, &buffers->update, sizeof(buffers->update));
}

/* Sends a copy of the descriptor: another buffer may come while this one is under way. */
static bool begin_frame(struct buffers *buffers, struct sender *sender, struct shown_buffer *shown,
                        bool modifiers) {
    if (shown->fresh) {
        buffers->sending = fcntl(shown->fd, F_DUPFD_CLOEXEC, 0);
        if (buffers->sending < 0)
            return false;
        add_scanout(buffers, sender, &shown->buffer, modifiers);
    }
    shown->fresh = false;
    shown->known = true;
    add_update(buffers, sender, shown);
    buffers->awaited = true;
    return true;
}

int buffers_begin_frame(struct buffers *buffers, struct sender *sender, bool modifiers) {
    if (buffers->awaited)
        return -1;
    for (uint32_t turn = 0; turn < DISPLAY_SCANOUTS; turn++) {
        uint32_t scanout_id = (buffers->next + turn) % DISPLAY_SCANOUTS;
        struct shown_buffer *shown = &buffers->scanouts[scanout_id];
        if (shown->fd < 0 || rectangle_empty(&shown->damage))
            continue;
        if (!begin_frame(buffers, sender, shown, modifiers))
            return -1;
        buffers->next = scanout_id + 1;
        return (int)scanout_id;
    }
    return -1;
}

void buffers_complete(struct buffers *buffers) {
    if (buffers->sending >= 0)
        close(buffers->sending);
    buffers->sending = -1;
}
