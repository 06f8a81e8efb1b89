/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A memory table: the regions of guest memory that a VMM gave, mapped here, and the log of writes
 * to them.
 *
 * A table that is in use (memory.h) never changes.  A new one is built completely beside it, and
 * replaces it in one step that cannot fail; or it is dropped, and nothing has changed.
 */
#ifndef VGPUD_MEMORY_TABLE_H
#define VGPUD_MEMORY_TABLE_H

#include <stdint.h>

#include "ring/dirty_log.h"

/* [python] */
struct memory_table;

struct memory_table *memory_table_new(void); /* empty; NULL: no memory left */
void memory_table_free(struct memory_table *table);

/* The caller keeps `fd`.  Addresses and sizes in bytes.  -EEXIST: overlaps another region; -EINVAL:
 * empty, wraps, or beyond the end of the file; -ENOSPC: there are 509 regions already; otherwise
 * the errno of mmap(). */
int memory_table_add(struct memory_table *table, int fd, uint64_t guest_address, uint64_t size,
                     uint64_t user_address, uint64_t mmap_offset);

/* -ENOENT unless all three match one region. */
int memory_table_remove(struct memory_table *table, uint64_t guest_address, uint64_t size,
                        uint64_t user_address);
void memory_table_clear(struct memory_table *table); /* of its regions; the log stays */

/* The dirty log (vhost-user, "Migration"): a bit for each 4096 bytes.  `fd` -1: no log. */
int memory_table_set_log(struct memory_table *table, int fd, uint64_t size, uint64_t offset);
/* [end python] */

struct region {
    uint64_t guest_address, size, user_address;
    struct mapping *mapping;
};

enum { REGIONS_MAX = 509 }; /* as QEMU's own backends: KVM's limit for a machine */

struct memory_table {
    struct region regions[REGIONS_MAX]; /* by guest address */
    uint32_t count;
    struct dirty_log log;
};

/* The same regions, mapped at the same places, and the same log.  NULL: no memory left. */
struct memory_table *memory_table_copy(const struct memory_table *table);

/* Index of the first region that ends beyond the address, `count` when there is none. */
uint32_t memory_table_search(const struct memory_table *table, uint64_t guest_address);

#endif
