/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The device process's end of the present channel (present.h): the staging ring, which images the
 * presenter knows, and what it gave back.  Never blocks; without a channel, or when the presenter
 * has gone, nothing is presented and that is no error.
 */
#ifndef VGPUD_CHANNEL_H
#define VGPUD_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "device/canvas.h"
#include "shared/present.h"
#include "shared/state.h"

/* An image that the presenter has the descriptor of. */
struct known_image {
    uint32_t image_id;     /* 0: a free entry */
    struct canvas *canvas; /* NULL: it has gone, but the presenter was not told yet */
    uint64_t last_record;
};

struct channel {
    int fd;    /* -1: none, or no longer */
    bool full; /* POLLOUT is awaited */
    uint64_t records, unread;
    int staging_fd;
    uint8_t *staging;
    uint64_t produced, consumed; /* positions in the staging ring */
    /* Staged records go in one packet: each wakes the presenter, which costs more than a record. */
    struct present_record batch[PRESENT_PACKET];
    uint32_t batched; /* staged but not sent yet */
    struct known_image known[PRESENT_IMAGES];
    uint32_t outstanding[STATE_SCANOUTS];
};

/* Duplicates `fd`.  -errno. */
int channel_open(struct channel *channel, int fd);
void channel_close(struct channel *channel);

/* Each of these returns false when it has to be tried again later (after channel_receive() or
 * POLLOUT), and true also when there is no presenter. */
bool channel_scanout(struct channel *channel, const struct present_record *record);
/* The scanout shows a DMA buffer from now on. */
bool channel_buffer(struct channel *channel, const struct present_buffer *buffer, int fd);
/* Copies the record's rectangle from a slot, to be sent with the batch. */
bool channel_staged(struct channel *channel, struct present_record *record, struct canvas *canvas,
                    int slot);
/* Sends the batch: at the end of a burst, and before anything long. */
bool channel_send_batch(struct channel *channel);

/* Sends the rectangle by reference and pins the slot. */
bool channel_image(struct channel *channel, struct present_record *record, struct canvas *canvas,
                   int slot);

/* The image's memory goes; the presenter keeps what was sent of it. */
void channel_forget(struct channel *channel, struct canvas *canvas);

/* Takes what the presenter gave back; true if there was something. */
bool channel_receive(struct channel *channel);

/* Likewise, now and then: the presenter's records must not pile up. */
void channel_receive_sometimes(struct channel *channel);

#endif
