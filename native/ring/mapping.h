/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A piece of a file that is mapped here, for as long as somebody keeps it: a memory table and the
 * one that takes its place have most of their regions in common.  One thread at a time.
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

/* Kept once by the caller; `fd` stays his.  NULL with errno, EINVAL: nothing, or beyond the file.
 */
struct mapping *mapping_new(int fd, uint64_t size, uint64_t offset);
struct mapping *mapping_keep(struct mapping *mapping);
/* NULL is none. */
void mapping_drop(struct mapping *mapping);

#endif
