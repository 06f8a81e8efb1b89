/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Rectangles that wait for the display, in the order in which they came.  Within a scanout that
 * order is kept, since a later one is drawn over an earlier one; between scanouts it need not be.
 */
#ifndef VGPUD_PENDING_H
#define VGPUD_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "presenter/pixel_file.h"
#include "shared/present.h"

enum { PENDING_COUNT = 1024 };

struct pending {
    struct pending *previous, *next;
    struct present_record record; /* as it came: what the device process gets back */
    struct pixel_file *file;
    size_t offset;                /* of the first pixel in the file */
    size_t stride;                /* bytes from row to row there */
    uint32_t x, y, width, height; /* what is to be sent, clipped */
    uint32_t rows_sent;
    uint64_t live;  /* the display's socket holds pages of the image up to here, 0: none */
    bool orphan;    /* its device process has been replaced: nobody to answer */
    bool abandoned; /* the rest of it is no longer wanted */
};

struct pending_list {
    struct pending *first, *last;
};

struct pending_pool {
    struct pending_list free;
    unsigned available;
    struct pending entries[PENDING_COUNT];
};

void pending_pool_init(struct pending_pool *pool);
struct pending *pending_new(struct pending_pool *pool); /* NULL: none left */
void pending_free(struct pending_pool *pool, struct pending *entry);

void pending_append(struct pending_list *list, struct pending *entry);
void pending_prepend(struct pending_list *list, struct pending *entry);
void pending_remove(struct pending_list *list, struct pending *entry);

static inline bool pending_staged(const struct pending *entry) {
    return entry->record.kind == PRESENT_STAGED;
}
static inline size_t pending_row_length(const struct pending *entry) {
    return (size_t)entry->width * 4;
}
static inline bool pending_contiguous(const struct pending *entry) {
    return entry->stride == pending_row_length(entry);
}

/*
 * Takes staged rectangles, unless an image of their scanout must go first: at most `room`, at most
 * `bytes` together (but always one; and one that is not contiguous goes alone).
 */
unsigned pending_take_staged(struct pending_list *queue, struct pending **taken, unsigned room,
                             size_t bytes);
/* Takes the first image before which nothing of its scanout must go, or NULL. */
struct pending *pending_take_image(struct pending_list *queue);

/* Whether `over` covers all of `under`, of which nothing was sent yet. */
bool pending_covers(const struct pending *over, const struct pending *under);

#endif
