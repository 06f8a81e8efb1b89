/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The session's end of a present channel: records with their descriptors, the images and the
 * staging ring that they name, the answers.  A guest may have taken over the device process, so
 * every record is checked; one that breaks the rules of present.h ends the whole channel (-EPROTO).
 */
#ifndef VGPUD_SOURCE_H
#define VGPUD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "presenter/pending.h"
#include "presenter/pixel_file.h"
#include "shared/present.h"

enum { SOURCE_PACKETS = 8, SOURCE_BATCH = SOURCE_PACKETS * PRESENT_PACKET };

struct received {
    struct present_record record;
    int fd; /* the receiver closes it, -1: none */
};

struct source {
    int fd;                     /* -1: none */
    bool blocked;               /* an answer waits for room in the channel */
    bool ended;                 /* nothing more will come */
    bool more;                  /* the last call left some unread, as far as it could see */
    struct pixel_file *staging; /* NULL until it has come */
    uint64_t staged;            /* position after the last rectangle in the ring */
    uint64_t told;              /* up to where the device process knows that it is consumed */
    unsigned untold;            /* staged rectangles finished since then */
    struct pixel_file *images[PRESENT_IMAGES];
    unsigned image_count;
};

void source_init(struct source *source);
/* Takes `fd` over (-1: none) and forgets everything of the previous one. */
void source_use(struct source *source, int fd);

/*
 * How many records came, 0: none for now, -EPIPE: the other end has closed, -EPROTO.  Must not be
 * called again once the source has ended.
 */
int source_receive(struct source *source, struct received batch[SOURCE_BATCH]);
void source_close_descriptors(struct received *batch, int count);

/* Each takes over the record's descriptor and returns 0 or -EPROTO. */
int source_check_scanout(const struct received *received);
/* Returns the record as `buffer`; the caller keeps the descriptor on success. */
int source_check_buffer(const struct received *received, struct present_buffer *buffer);
int source_set_staging(struct source *source, const struct received *received);
int source_forget_image(struct source *source, const struct received *received);
/*
 * Fills an empty entry from PRESENT_STAGED or PRESENT_IMAGE, clipped to the scanout and the image:
 * then width or height may be 0.
 */
int source_fill(struct source *source, const struct received *received, struct pending *entry);

/* 1: sent; 0: no room in the channel now (`blocked` is set); a channel that fails counts as sent.
 */
int source_answer(struct source *source, const struct present_record *record);
/* Tells up to where the staging ring is free again, if that is worth waking the other side. */
void source_consumed(struct source *source, uint64_t position);

#endif
