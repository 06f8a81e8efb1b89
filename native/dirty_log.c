/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "dirty_log.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_PAGE = 4096 }; /* VHOST_LOG_PAGE, whatever the host's pages are */

static int check_file(int fd, uint64_t size, uint64_t offset) {
    struct stat file;
    uint64_t end;

    if (size == 0 || __builtin_add_overflow(offset, size, &end) || end > INT64_MAX)
        return -EINVAL;
    if (fstat(fd, &file) < 0)
        return -errno;
    return S_ISREG(file.st_mode) && end > (uint64_t)file.st_size ? -EINVAL : 0;
}

int dirty_log_open(struct dirty_log *log, int fd, uint64_t size, uint64_t offset) {
    uint64_t before = offset & ((uint64_t)sysconf(_SC_PAGESIZE) - 1);
    int error = check_file(fd, size, offset);
    void *mapped;

    if (error < 0)
        return error;
    mapped =
        mmap(NULL, before + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(offset - before));
    if (mapped == MAP_FAILED)
        return -errno;
    dirty_log_close(log);
    *log = (struct dirty_log){.bits = (uint8_t *)mapped + before,
                              .size = size,
                              .mapped = mapped,
                              .mapped_size = before + size};
    return 0;
}

void dirty_log_close(struct dirty_log *log) {
    if (log->mapped != NULL)
        munmap(log->mapped, log->mapped_size);
    *log = (struct dirty_log){0};
}

void dirty_log_mark(struct dirty_log *log, uint64_t guest_address, uint64_t length) {
    uint64_t page = guest_address / LOG_PAGE;
    uint64_t last;

    if (length == 0)
        return;
    last = (guest_address + (length - 1)) / LOG_PAGE;
    /* The VMM takes bits away while we set others: or, atomically, after the write itself. */
    for (; page <= last && page / 8 < log->size; page++)
        __atomic_fetch_or(&log->bits[page / 8], (uint8_t)(1u << (page % 8)), __ATOMIC_SEQ_CST);
}
