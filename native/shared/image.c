/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* fallocate */
#include "shared/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/sealed.h"

static bool size_valid(uint32_t width, uint32_t height) {
    return width > 0 && height > 0 && width <= IMAGE_SIDE_MAX && height <= IMAGE_SIDE_MAX;
}

const uint8_t *image_map(int fd, uint32_t width, uint32_t height) {
    void *mapped;

    if (!size_valid(width, height) ||
        sealed_memory_check(fd, image_file_bytes(width, height)) < 0) {
        errno = EINVAL;
        return NULL;
    }
    mapped = mmap(NULL, image_file_bytes(width, height), PROT_READ, MAP_SHARED, fd, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

void image_unmap(const uint8_t *mapped, uint32_t width, uint32_t height) {
    munmap((void *)(uintptr_t)mapped, image_file_bytes(width, height));
}

const uint8_t *image_pixels(const uint8_t *mapped, uint32_t width, uint32_t height) {
    const struct image_header *header = (const void *)mapped;
    uint32_t slot = __atomic_load_n(&header->slot, __ATOMIC_ACQUIRE) % IMAGE_SLOTS;

    return mapped + image_slot_offset(width, height, slot);
}

int image_forget_pixels(int fd) {
    struct stat file;

    if (fstat(fd, &file) < 0)
        return -1;
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, IMAGE_HEADER_BYTES,
                     file.st_size - IMAGE_HEADER_BYTES);
}
