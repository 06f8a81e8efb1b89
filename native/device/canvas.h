/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * An image as the device process has it: which slot is written, which ones must not change because
 * they are shown, and what each of the others lacks.
 *
 * A slot is held while the presenter has a record of it (pinned), or while its picture was flushed
 * and waits to be sent.  Two are pinned at most, one waits, one is written: so with IMAGE_SLOTS a
 * guest never waits.
 */
#ifndef VGPUD_CANVAS_H
#define VGPUD_CANVAS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/image.h"
#include "shared/rectangle.h"

enum { CANVAS_PINNED_MAX = 2, CANVAS_NONE = -1 };

struct canvas_slot {
    uint32_t pins;
    struct rectangle stale; /* what was written to others since this was the newest */
};

struct canvas {
    uint32_t image_id;
    uint32_t width, height;
    int fd;
    uint8_t *mapped;
    int slot;    /* the newest pixels */
    int waiting; /* the slot that waits to be sent, or CANVAS_NONE */
    bool spread; /* more slots than the newest may have memory */
    struct canvas_slot slots[IMAGE_SLOTS];
};

/* A new image, or the image of a process that died (`fd` is duplicated).  NULL with errno. */
struct canvas *canvas_new(uint32_t image_id, uint32_t width, uint32_t height);
struct canvas *canvas_adopt(uint32_t image_id, uint32_t width, uint32_t height, int fd);
void canvas_free(struct canvas *canvas);

static inline uint64_t canvas_stride(const struct canvas *canvas) {
    return image_stride(canvas->width);
}

static inline uint64_t canvas_slot_bytes(const struct canvas *canvas) {
    return image_slot_bytes(canvas->width, canvas->height);
}

static inline struct rectangle canvas_whole(const struct canvas *canvas) {
    return (struct rectangle){.width = canvas->width, .height = canvas->height};
}

uint8_t *canvas_pixels(const struct canvas *canvas, int slot);

/* Whether the newest slot must not be written. */
static inline bool canvas_held(const struct canvas *canvas) {
    return canvas->slots[canvas->slot].pins > 0 || canvas->waiting == canvas->slot;
}

/* Makes the newest slot writable for `rectangle`, if need be by moving to another one, and notes
 * that the others lack it. */
void canvas_begin_write(struct canvas *canvas, const struct rectangle *rectangle);

/* Whether another record of `slot` leaves enough slots to write. */
bool canvas_may_pin(const struct canvas *canvas, int slot);
bool canvas_pinned(const struct canvas *canvas);

/* Gives the memory of all slots but the newest back; none may be held. */
void canvas_release_spare(struct canvas *canvas);
/* Also of the newest slot: its pixels are lost. */
void canvas_release_all(struct canvas *canvas);

#endif
