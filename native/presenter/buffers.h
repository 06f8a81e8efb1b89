/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The scanouts that are shown from DMA buffers: which buffer, which damage the display was not told
 * yet, and whether it has shown the last frame.
 *
 * A display that shows nothing (a hidden window) answers late or never.  Nobody waits for it: there
 * is one buffer and one rectangle for each scanout, however much is drawn meanwhile, and it gets
 * the newest next.
 */
#ifndef VGPUD_BUFFERS_H
#define VGPUD_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>

#include "presenter/display_message.h"
#include "presenter/sender.h"
#include "shared/present.h"
#include "shared/rectangle.h"

struct shown_buffer {
    int fd; /* -1: not from a DMA buffer */
    struct present_buffer buffer;
    bool fresh;              /* the display was not told of it yet */
    bool known;              /* the display shows this one or an earlier one */
    struct rectangle damage; /* the display was not told yet */
};

struct buffers {
    struct shown_buffer scanouts[DISPLAY_SCANOUTS];
    bool awaited;     /* the reply to DMABUF_UPDATE: replies do not say to which they belong */
    uint32_t next;    /* the scanout whose turn it is */
    uint32_t leaving; /* a bit for each whose DMA buffer the display must forget */

    /* The messages in progress. */
    int sending; /* a descriptor, -1: none */
    struct display_dmabuf_scanout2 scanout;
    struct display_update update;
};

void buffers_init(struct buffers *buffers);
void buffers_destroy(struct buffers *buffers);
bool buffers_wanted(const struct buffers *buffers, uint32_t scanout_id);

/* Takes `fd` over. */
void buffers_show(struct buffers *buffers, const struct present_buffer *buffer, int fd);
/* Damage of the scanout; ignored when it shows no DMA buffer. */
void buffers_damage(struct buffers *buffers, uint32_t scanout_id,
                    const struct rectangle *rectangle);
/* The scanout shows something else, or nothing.  True: the display knows of a DMA buffer. */
bool buffers_forget(struct buffers *buffers, uint32_t scanout_id);
/* There is another display, or it accepts another message for it. */
void buffers_tell_again(struct buffers *buffers);
void buffers_tell_modifiers(struct buffers *buffers);

/* Gives the sender its next message; false: nothing for now. */
bool buffers_begin_leaving(struct buffers *buffers, struct sender *sender);
/* Likewise a frame; returns its scanout, or -1. */
int buffers_begin_frame(struct buffers *buffers, struct sender *sender, bool modifiers);
/* The sender is done with it. */
void buffers_complete(struct buffers *buffers);

#endif
