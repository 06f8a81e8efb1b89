/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The dirty log of a live migration: a bit for each page of guest memory (vhost-user, "Migration").
 */
#ifndef VGPUD_DIRTY_LOG_H
#define VGPUD_DIRTY_LOG_H

#include <stdint.h>

#include "ring/mapping.h"

struct dirty_log {
    struct mapping *bits; /* NULL: none */
    uint64_t size;        /* bytes */
};

/* Replaces what was open.  The caller keeps `fd`. */
int dirty_log_open(struct dirty_log *log, int fd, uint64_t size, uint64_t offset);
void dirty_log_close(struct dirty_log *log);
/* Another reference to the same log. */
struct dirty_log dirty_log_keep(const struct dirty_log *log);

/* Ignores pages beyond the log. */
void dirty_log_mark(struct dirty_log *log, uint64_t guest_address, uint64_t length);

#endif
