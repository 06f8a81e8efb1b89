/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A piece of a file that is mapped here, for as long as somebody keeps it: a memory table and its
 * successor have most of their regions in common.  One thread at a time.
 */
#ifndef VGPUD_MAPPING_H
#define VGPUD_MAPPING_H

#include <stddef.h>
#include <stdint.h>

struct mapping {
    uint8_t *bytes; /* where the piece begins */
    void *mapped;   /* whole pages around it */
    size_t mapped_size;
    uint32_t users;
};

/* The caller keeps it once, and keeps `fd`.  NULL with errno; EINVAL: empty, or beyond the file. */
struct mapping *mapping_new(int fd, uint64_t size, uint64_t offset);
struct mapping *mapping_keep(struct mapping *mapping);
/* `mapping` may be NULL. */
void mapping_drop(struct mapping *mapping);

#endif
