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

/* Staged records go together: each wakes the presenter, which costs more than the record. */
enum { CHANNEL_BATCH = 8 };

/* An image that the presenter has the descriptor of. */
struct known_image {
    uint32_t image_id;     /* 0: a free entry */
    struct canvas *canvas; /* NULL: it is gone, and the presenter has yet to hear that */
    uint64_t last_record;
};

struct channel {
    int fd;    /* -1: none, or not any more */
    bool full; /* POLLOUT is awaited */
    uint64_t records, unread;
    int staging_fd;
    uint8_t *staging;
    uint64_t produced, consumed; /* positions in the staging ring */
    struct present_record batch[CHANNEL_BATCH];
    uint32_t batched; /* staged and yet to be sent */
    struct known_image known[PRESENT_IMAGES];
    uint32_t outstanding[STATE_SCANOUTS];
};

/* Duplicates `fd`.  -errno. */
int channel_open(struct channel *channel, int fd);
void channel_close(struct channel *channel);

/* Each of these returns false when it has to be tried again later (channel_receive() has something,
 * or POLLOUT), true also when nobody is there to be told. */
bool channel_scanout(struct channel *channel, const struct present_record *record);
/* The scanout shows a DMA buffer from now on. */
bool channel_buffer(struct channel *channel, const struct present_buffer *buffer, int fd);
/* Copies the record's rectangle from a slot, to be sent with the batch. */
bool channel_staged(struct channel *channel, struct present_record *record, struct canvas *canvas,
                    int slot);
/* What is in the batch goes now: at the end of a burst, and before anything long. */
bool channel_send_batch(struct channel *channel);

/* Sends the rectangle by reference and pins the slot. */
bool channel_image(struct channel *channel, struct present_record *record, struct canvas *canvas,
                   int slot);

/* The image's memory goes away; what was sent of it stays the presenter's. */
void channel_forget(struct channel *channel, struct canvas *canvas);

/* Takes in what the presenter gave back; true if there was something. */
bool channel_receive(struct channel *channel);

/* Likewise, now and then: the presenter's records must not pile up. */
void channel_receive_sometimes(struct channel *channel);

#endif
