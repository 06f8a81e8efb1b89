/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "mirror.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int mirrors_add(struct mirrors *mirrors, uint32_t handle, int fd, uint8_t *guest, uint32_t bytes) {
    if (mirrors->count == MIRRORS) {
        return -ENOSPC;
    }
    void *client = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (client == MAP_FAILED) {
        return -errno;
    }
    memset(guest, 0, bytes);
    mirrors->all[mirrors->count++] =
        (struct mirror){.handle = handle, .bytes = bytes, .client = client, .guest = guest};
    return 0;
}

void mirrors_remove(struct mirrors *mirrors, uint32_t handle) {
    for (uint32_t index = 0; index < mirrors->count; index++) {
        if (mirrors->all[index].handle == handle) {
            munmap(mirrors->all[index].client, mirrors->all[index].bytes);
            mirrors->all[index] = mirrors->all[--mirrors->count];
            return;
        }
    }
}

void mirrors_clear(struct mirrors *mirrors) {
    while (mirrors->count > 0) {
        mirrors_remove(mirrors, mirrors->all[0].handle);
    }
}

void mirrors_push(struct mirrors *mirrors) {
    for (uint32_t index = 0; index < mirrors->count; index++) {
        struct mirror *mirror = &mirrors->all[index];
        if (!mirror->written) {
            memcpy(mirror->guest, mirror->client, mirror->bytes);
        }
    }
}

void mirrors_written(struct mirrors *mirrors, uint32_t handle) {
    for (uint32_t index = 0; index < mirrors->count; index++) {
        if (mirrors->all[index].handle == handle) {
            mirrors->all[index].written = 1;
        }
    }
}

void mirrors_pull(struct mirrors *mirrors) {
    for (uint32_t index = 0; index < mirrors->count; index++) {
        struct mirror *mirror = &mirrors->all[index];
        if (mirror->written) {
            memcpy(mirror->client, mirror->guest, mirror->bytes);
            mirror->written = 0;
        }
    }
}
