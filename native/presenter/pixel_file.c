/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* F_GET_SEALS */
#include "presenter/pixel_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int check(int fd, size_t length) {
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &status) < 0)
        return -1;
    if (status.st_size < 0 || (uint64_t)status.st_size < length)
        return -1;
    /* A file that cannot be read would fail in the middle of a message. */
    return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY ? -1 : 0;
}

static struct pixel_file *map_file(int fd, size_t length) {
    struct pixel_file *file;
    void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED)
        return NULL;
    file = calloc(1, sizeof(*file));
    if (file == NULL) {
        munmap(map, length);
        return NULL;
    }
    *file = (struct pixel_file){.fd = fd, .references = 1, .length = length, .map = map};
    return file;
}

struct pixel_file *pixel_file_open(int fd, size_t length) {
    struct pixel_file *file = NULL;

    if (check(fd, length) == 0)
        file = map_file(fd, length);
    if (file == NULL)
        close(fd);
    return file;
}

struct pixel_file *pixel_file_hold(struct pixel_file *file) {
    file->references++;
    return file;
}

void pixel_file_release(struct pixel_file *file) {
    if (file == NULL || --file->references > 0)
        return;
    munmap((void *)(uintptr_t)file->map, file->length);
    close(file->fd);
    free(file);
}
