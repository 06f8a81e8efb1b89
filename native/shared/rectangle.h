/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Rectangles of pixels, whose sums never wrap. */
#ifndef VGPUD_RECTANGLE_H
#define VGPUD_RECTANGLE_H

#include <stdbool.h>
#include <stdint.h>

struct rectangle {
    uint32_t x, y, width, height;
};

static inline bool rectangle_empty(const struct rectangle *rectangle) {
    return rectangle->width == 0 || rectangle->height == 0;
}

/* Whether it is inside an area that begins at 0, 0; an empty rectangle may be at the edge. */
static inline bool rectangle_within(const struct rectangle *rectangle, uint32_t width,
                                    uint32_t height) {
    return rectangle->width <= width && rectangle->height <= height &&
           rectangle->x <= width - rectangle->width && rectangle->y <= height - rectangle->height;
}

/* Whether its edges fit into 32 bits, so that it may be compared with others. */
static inline bool rectangle_bounded(const struct rectangle *rectangle) {
    return rectangle->width <= UINT32_MAX - rectangle->x &&
           rectangle->height <= UINT32_MAX - rectangle->y;
}

/* The following take rectangles that are inside an image (rectangle_within()), or bounded, so that
 * edges fit. */

static inline bool rectangle_covers(const struct rectangle *outer, const struct rectangle *inner) {
    return inner->x >= outer->x && inner->y >= outer->y &&
           inner->x + inner->width <= outer->x + outer->width &&
           inner->y + inner->height <= outer->y + outer->height;
}

static inline uint32_t smaller_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static inline uint32_t larger_u32(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static inline struct rectangle rectangle_between(uint32_t left, uint32_t top, uint32_t right,
                                                 uint32_t bottom) {
    if (right <= left || bottom <= top)
        return (struct rectangle){0};
    return (struct rectangle){.x = left, .y = top, .width = right - left, .height = bottom - top};
}

static inline struct rectangle rectangle_common(const struct rectangle *a,
                                                const struct rectangle *b) {
    return rectangle_between(larger_u32(a->x, b->x), larger_u32(a->y, b->y),
                             smaller_u32(a->x + a->width, b->x + b->width),
                             smaller_u32(a->y + a->height, b->y + b->height));
}

/* The smallest that covers both. */
static inline struct rectangle rectangle_around(const struct rectangle *a,
                                                const struct rectangle *b) {
    if (rectangle_empty(a))
        return *b;
    if (rectangle_empty(b))
        return *a;
    return rectangle_between(smaller_u32(a->x, b->x), smaller_u32(a->y, b->y),
                             larger_u32(a->x + a->width, b->x + b->width),
                             larger_u32(a->y + a->height, b->y + b->height));
}

#endif
