/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Where the pixels of a picture are in memory that was not made for them, as a guest describes it.
 */
#ifndef VGPUD_LAYOUT_H
#define VGPUD_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

struct layout {
    uint32_t format;        /* VIRTIO_GPU_FORMAT_* */
    uint32_t width, height; /* pixels */
    uint32_t stride;        /* bytes from one row to the next */
    uint64_t offset;        /* of the first pixel, bytes */
};

/* Whether memory of this many bytes can hold such a picture: its format is known, its sides are
 * allowed for an image (image.h), its rows do not overlap, and its last pixel ends inside. */
bool layout_fits(const struct layout *layout, uint64_t bytes);

/* Where a pixel of the picture begins, in bytes. */
static inline uint64_t layout_position(const struct layout *layout, uint32_t x, uint32_t y) {
    return layout->offset + (uint64_t)y * layout->stride + (uint64_t)x * 4;
}

#endif
