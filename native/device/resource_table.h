/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Resources by resource_id, which the guest chooses as it likes. */
#ifndef VGPUD_RESOURCE_TABLE_H
#define VGPUD_RESOURCE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "device/canvas.h"
#include "device/resource_kind.h"
#include "ring/backing.h"
#include "shared/present.h"

/* The DMA buffer of a resource, in the form for the display. */
struct exported {
    int fd;
    struct present_buffer buffer; /* without a scanout */
};

struct resource {
    uint32_t resource_id, format;
    const struct resource_kind *kind;
    struct resource *next;     /* in its bucket */
    struct canvas *canvas;     /* NULL: no image, never shown so far */
    struct texture *texture;   /* the library's side (render3d/render3d.h); NULL: it has none */
    uint64_t blob_bytes;       /* of a blob of either kind: its backing is at least that large */
    format_convert convert;    /* from its format to the image's */
    struct backing *backing;   /* NULL: none */
    uint32_t shown;            /* a bit for each scanout that shows it */
    struct exported *exported; /* NULL: it is shown as pixels */
    bool slots_reserved;       /* all slots count against the quota, not only one: images.h */
    bool has_uuid;
    uint8_t uuid[16];
};

struct resource_table {
    struct resource **buckets;
    uint32_t bits; /* of the number of buckets */
    uint32_t count;
    struct resource *last; /* the one found last */
};

bool resource_table_init(struct resource_table *table);
void resource_table_destroy(struct resource_table *table); /* must be empty */

struct resource *resource_table_find(struct resource_table *table, uint32_t resource_id);
void resource_table_insert(struct resource_table *table, struct resource *resource);
void resource_table_remove(struct resource_table *table, struct resource *resource);

/* Calls `visit` for each; it may remove the one that it is given. */
void resource_table_each(struct resource_table *table,
                         void (*visit)(struct resource *resource, void *argument), void *argument);

#endif
