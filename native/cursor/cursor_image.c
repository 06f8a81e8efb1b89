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

static void drop(struct cursor_image **link) {
    struct cursor_image *image = *link;

    *link = image->next;
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

int cursor_image_read(const struct cursor_image *image, uint8_t picture[CURSOR_PICTURE_BYTES]) {
    struct image_header header;
    uint32_t width = smaller_u32(image->width, CURSOR_SIDE);
    uint32_t height = smaller_u32(image->height, CURSOR_SIDE);
    uint64_t offset;

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
