/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * An image: the pixels of a 2D resource in a memfd that the device process writes and the session
 * reads.  A header page, then IMAGE_SLOTS slots of height rows; a slot that was never written takes
 * no memory.  The pixels are B, G, R, A in memory whatever the resource's format (format.h).
 *
 * Several slots, so that a picture that is still being sent never changes: two may be on their way
 * to the display, one waits to be sent, one is written.
 */
#ifndef VGPUD_IMAGE_H
#define VGPUD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    IMAGE_SLOTS = 4,
    IMAGE_HEADER_BYTES = 4096,
    IMAGE_PIXEL_BYTES = 4,
    IMAGE_SIDE_MAX = 32767, /* the pixels of a whole image are counted in 32 bits on the display
                               socket */
};

/* The first bytes of the memfd.  A reader in another process bounds the slot. */
struct image_header {
    uint32_t slot; /* the one with the newest pixels */
};

static inline uint64_t image_stride(uint32_t width) {
    return (uint64_t)width * IMAGE_PIXEL_BYTES;
}

/* Bytes from one slot to the next: whole pages of 4096. */
static inline uint64_t image_slot_bytes(uint32_t width, uint32_t height) {
    return (image_stride(width) * height + 4095) & ~(uint64_t)4095;
}

static inline uint64_t image_slot_offset(uint32_t width, uint32_t height, uint32_t slot) {
    return IMAGE_HEADER_BYTES + image_slot_bytes(width, height) * slot;
}

static inline uint64_t image_file_bytes(uint32_t width, uint32_t height) {
    return image_slot_offset(width, height, IMAGE_SLOTS);
}

/* [python] */
/* Maps all of an image that another process made, read only.  NULL with errno EINVAL: its size or
 * its seals are not those of an image of that size. */
const uint8_t *image_map(int fd, uint32_t width, uint32_t height);
void image_unmap(const uint8_t *mapped, uint32_t width, uint32_t height);

/* The newest pixels of a mapped image. */
const uint8_t *image_pixels(const uint8_t *mapped, uint32_t width, uint32_t height);

/* Gives back the memory of all pixels, which are then 0.  -1 with errno. */
int image_forget_pixels(int fd);
/* [end python] */

#endif
