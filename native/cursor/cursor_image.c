/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "cursor/cursor_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/image.h"
#include "shared/rectangle.h"
#include "shared/sealed.h"

/* The link that holds the image, or the one where it would be appended. */
static struct cursor_image **find_link(struct cursor_images *images, uint32_t resource_id) {
    struct cursor_image **link = &images->buckets[resource_id % CURSOR_IMAGE_BUCKETS];

    while (*link != NULL && (*link)->resource_id != resource_id)
        link = &(*link)->next;
    return link;
}

const struct cursor_image *cursor_images_find(const struct cursor_images *images,
                                              uint32_t resource_id) {
    const struct cursor_image *image = images->buckets[resource_id % CURSOR_IMAGE_BUCKETS];

    while (image != NULL && image->resource_id != resource_id)
        image = image->next;
    return image;
}

static int check(uint32_t width, uint32_t height, int fd) {
    if (width == 0 || height == 0 || width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX)
        return -EINVAL;
    return sealed_memory_check(fd, image_file_bytes(width, height));
}

int cursor_images_add(struct cursor_images *images, uint32_t resource_id, uint32_t width,
                      uint32_t height, int fd) {
    struct cursor_image **link = find_link(images, resource_id);

    if (*link != NULL)
        return -EEXIST;
    if (check(width, height, fd) < 0)
        return -EINVAL;
    *link = calloc(1, sizeof(**link));
    if (*link == NULL)
        return -ENOMEM;
    **link = (struct cursor_image){
        .resource_id = resource_id, .width = width, .height = height, .fd = fd};
    return 0;
}

/* How many entries a picture takes; 0: there are too few. */
static uint32_t entries_of_picture(const uint8_t *entries, uint32_t nr_entries) {
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < nr_entries; i++) {
        struct virtio_gpu_mem_entry entry;
        memcpy(&entry, entries + (size_t)i * sizeof(entry), sizeof(entry));
        bytes += entry.length;
        if (bytes >= CURSOR_PICTURE_BYTES)
            return i + 1;
    }
    return 0;
}

int cursor_images_add_blob(struct cursor_images *images, uint32_t resource_id,
                           const uint8_t *entries, uint32_t nr_entries) {
    uint32_t count = entries_of_picture(entries, nr_entries);
    struct cursor_image **link = find_link(images, resource_id);
    struct cursor_image *image;

    if (*link != NULL)
        return -EEXIST;
    if (count == 0)
        return -EINVAL;
    image = calloc(1, sizeof(*image));
    if (image == NULL)
        return -ENOMEM;
    *image = (struct cursor_image){.resource_id = resource_id, .fd = -1, .nr_entries = count};
    image->entries = malloc(count * sizeof(*image->entries));
    if (image->entries == NULL) {
        free(image);
        return -ENOMEM;
    }
    memcpy(image->entries, entries, count * sizeof(*image->entries));
    *link = image;
    return 0;
}

static void drop(struct cursor_image **link) {
    struct cursor_image *image = *link;

    *link = image->next;
    free(image->entries);
    free(image);
}

int cursor_images_remove(struct cursor_images *images, uint32_t resource_id) {
    struct cursor_image **link = find_link(images, resource_id);

    if (*link == NULL)
        return -ENOENT;
    drop(link);
    return 0;
}

void cursor_images_drop(struct cursor_images *images) {
    for (unsigned i = 0; i < CURSOR_IMAGE_BUCKETS; i++)
        while (images->buckets[i] != NULL)
            drop(&images->buckets[i]);
}

static int read_all(int fd, void *to, size_t length, uint64_t offset) {
    return pread(fd, to, length, (off_t)offset) == (ssize_t)length ? 0 : -EIO;
}

/* Reads an entry's part of the picture, of which `done` bytes are read already; 0, or -EFAULT. */
static int read_entry(const struct virtio_gpu_mem_entry *entry, struct guest_memory *memory,
                      uint8_t *picture, uint64_t *done) {
    uint64_t address = entry->addr;
    uint64_t left = CURSOR_PICTURE_BYTES - *done;

    if (left > entry->length)
        left = entry->length;
    while (left > 0) {
        uint64_t there = left;
        const uint8_t *bytes = guest_memory_find(memory, address, &there);
        if (bytes == NULL)
            return -EFAULT;
        memcpy(picture + *done, bytes, there);
        *done += there;
        address += there;
        left -= there;
    }
    return 0;
}

/* B, G, R, A, in rows without gaps, since no command says otherwise. */
static int read_blob(const struct cursor_image *image, struct guest_memory *memory,
                     uint8_t picture[CURSOR_PICTURE_BYTES]) {
    uint64_t done = 0;
    int error = 0;

    for (uint32_t i = 0; error == 0 && i < image->nr_entries; i++)
        error = read_entry(&image->entries[i], memory, picture, &done);
    return error;
}

int cursor_image_read(const struct cursor_image *image, struct guest_memory *memory,
                      uint8_t picture[CURSOR_PICTURE_BYTES]) {
    struct image_header header;
    uint32_t width = smaller_u32(image->width, CURSOR_SIDE);
    uint32_t height = smaller_u32(image->height, CURSOR_SIDE);
    uint64_t offset;

    if (image->fd < 0)
        return read_blob(image, memory, picture);
    memset(picture, 0, CURSOR_PICTURE_BYTES);
    if (read_all(image->fd, &header, sizeof(header), 0) < 0)
        return -EIO;
    offset = image_slot_offset(image->width, image->height, header.slot % IMAGE_SLOTS);
    for (uint32_t y = 0; y < height; y++) {
        uint8_t *row = picture + (size_t)y * CURSOR_SIDE * 4;
        if (read_all(image->fd, row, (size_t)width * 4, offset + y * image_stride(image->width)) <
            0)
            return -EIO;
    }
    return 0;
}
