/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_file(int fd, uint64_t size, uint64_t offset, struct stat *file) {
    uint64_t end;

    if (size == 0 || __builtin_add_overflow(offset, size, &end) || end > INT64_MAX)
        return -EINVAL;
    if (fstat(fd, file) < 0)
        return -errno;
    return S_ISREG(file->st_mode) && end > (uint64_t)file->st_size ? -EINVAL : 0;
}

/* The page size that mmap() needs for this file: larger than usual on hugetlbfs. */
static uint64_t file_page(const struct stat *file) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t block = (uint64_t)file->st_blksize;

    return block > page && (block & (block - 1)) == 0 ? block : page;
}

/* The offset is rounded down, the end up, to what the file's pages allow. */
static int map(struct mapping *mapping, int fd, uint64_t size, uint64_t offset) {
    struct stat file;
    uint64_t page, before;
    int error = check_file(fd, size, offset, &file);

    if (error < 0)
        return error;
    page = file_page(&file);
    before = offset & (page - 1);
    mapping->mapped_size = (before + size + page - 1) & ~(page - 1);
    mapping->mapped = mmap(NULL, mapping->mapped_size, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_NORESERVE, fd, (off_t)(offset - before));
    if (mapping->mapped == MAP_FAILED)
        return -errno;
    /* A machine's memory must be neither in our core dumps nor inherited by a child. */
    madvise(mapping->mapped, mapping->mapped_size, MADV_DONTDUMP);
    madvise(mapping->mapped, mapping->mapped_size, MADV_DONTFORK);
    mapping->bytes = (uint8_t *)mapping->mapped + before;
    return 0;
}

struct mapping *mapping_new(int fd, uint64_t size, uint64_t offset) {
    struct mapping *mapping = calloc(1, sizeof(*mapping));
    int error;

    if (mapping == NULL)
        return NULL;
    error = map(mapping, fd, size, offset);
    if (error < 0) {
        free(mapping);
        errno = -error;
        return NULL;
    }
    return mapping_keep(mapping);
}

struct mapping *mapping_keep(struct mapping *mapping) {
    mapping->users++;
    return mapping;
}

void mapping_drop(struct mapping *mapping) {
    if (mapping == NULL || --mapping->users > 0)
        return;
    munmap(mapping->mapped, mapping->mapped_size);
    free(mapping);
}
