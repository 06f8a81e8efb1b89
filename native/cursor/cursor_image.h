/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The images that can become a cursor's picture, found by resource_id. */
#ifndef VGPUD_CURSOR_IMAGE_H
#define VGPUD_CURSOR_IMAGE_H

#include <linux/virtio_gpu.h>
#include <stdint.h>

#include "ring/memory.h"

enum { CURSOR_SIDE = 64, CURSOR_PICTURE_BYTES = CURSOR_SIDE * CURSOR_SIDE * 4 };

struct cursor_image {
    struct cursor_image *next;
    uint32_t resource_id;
    uint32_t width, height;
    int fd; /* whoever added the image keeps it open; -1: the pixels are in guest memory */
    struct virtio_gpu_mem_entry *entries; /* there, up to CURSOR_PICTURE_BYTES */
    uint32_t nr_entries;
};

enum { CURSOR_IMAGE_BUCKETS = 256 };

struct cursor_images {
    struct cursor_image *buckets[CURSOR_IMAGE_BUCKETS];
};

/* As cursor_image_add(), cursor_blob_add() and cursor_image_remove() in cursor.h. */
int cursor_images_add(struct cursor_images *images, uint32_t resource_id, uint32_t width,
                      uint32_t height, int fd);
int cursor_images_add_blob(struct cursor_images *images, uint32_t resource_id,
                           const uint8_t *entries, uint32_t nr_entries);
int cursor_images_remove(struct cursor_images *images, uint32_t resource_id);
void cursor_images_drop(struct cursor_images *images);

const struct cursor_image *cursor_images_find(const struct cursor_images *images,
                                              uint32_t resource_id);

/*
 * The newest pixels, at the top left of a transparent square; a larger image is cut.  The fourth
 * byte is alpha whatever the format says: Linux makes its cursors B8G8R8X8.  -EIO: the file does
 * not have them.  Read, not mapped: so nothing that the device process does to the file raises a
 * signal here.  Guest memory is read inside fault_guarded(); -EFAULT: some entries are outside
 * guest memory.
 */
int cursor_image_read(const struct cursor_image *image, struct guest_memory *memory,
                      uint8_t picture[CURSOR_PICTURE_BYTES]);

#endif
