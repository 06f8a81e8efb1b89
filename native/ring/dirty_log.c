/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/dirty_log.h"

#include <errno.h>

enum { LOG_PAGE = 4096 }; /* VHOST_LOG_PAGE, whatever the host's page size is */

int dirty_log_open(struct dirty_log *log, int fd, uint64_t size, uint64_t offset) {
    struct mapping *bits = mapping_new(fd, size, offset);

    if (bits == NULL)
        return -errno;
    dirty_log_close(log);
    *log = (struct dirty_log){.bits = bits, .size = size};
    return 0;
}

void dirty_log_close(struct dirty_log *log) {
    mapping_drop(log->bits);
    *log = (struct dirty_log){0};
}

struct dirty_log dirty_log_keep(const struct dirty_log *log) {
    if (log->bits != NULL)
        mapping_keep(log->bits);
    return *log;
}

void dirty_log_mark(struct dirty_log *log, uint64_t guest_address, uint64_t length) {
    uint64_t page = guest_address / LOG_PAGE;
    uint8_t *bits = log->bits->bytes;
    uint64_t last;

    if (length == 0)
        return;
    last = (guest_address + (length - 1)) / LOG_PAGE;
    /* The VMM clears bits while we set others, so set them atomically, after the write itself. */
    for (; page <= last && page / 8 < log->size; page++)
        __atomic_fetch_or(&bits[page / 8], (uint8_t)(1u << (page % 8)), __ATOMIC_SEQ_CST);
}
