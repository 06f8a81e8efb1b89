/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest memory: the regions that a VMM gave, mapped here, and the log of what the device wrote.
 *
 * One thread at a time: whoever changes the table makes sure that nobody looks something up
 * meanwhile, and that every pointer from before is looked up anew.  Whoever follows a pointer into
 * guest memory does so inside fault_guarded() (fault.h): the file behind it may shrink at any time.
 */
#ifndef VGPUD_MEMORY_H
#define VGPUD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* [python] */
struct guest_memory;

struct guest_memory *guest_memory_new(void); /* NULL: no memory left */
void guest_memory_free(struct guest_memory *memory);

/* `fd` stays the caller's.  Addresses and sizes in bytes.  -EEXIST: overlaps another region;
 * -EINVAL: empty, wraps, or beyond the end of the file; -ENOSPC: 509 regions are there; else what
 * mmap() said. */
int guest_memory_add(struct guest_memory *memory, int fd, uint64_t guest_address, uint64_t size,
                     uint64_t user_address, uint64_t mmap_offset);

/* -ENOENT unless all three are those of one region. */
int guest_memory_remove(struct guest_memory *memory, uint64_t guest_address, uint64_t size,
                        uint64_t user_address);
void guest_memory_clear(struct guest_memory *memory);

/* The dirty log (vhost-user, "Migration"): a bit for each 4096 bytes.  `fd` -1: none any more. */
int guest_memory_set_log(struct guest_memory *memory, int fd, uint64_t size, uint64_t offset);

/* Whether VHOST_F_LOG_ALL is negotiated: until then a log that was given stays untouched. */
void guest_memory_set_logging(struct guest_memory *memory, int enabled);
/* [end python] */

/*
 * Where `guest_address` is mapped, and in `length` how many of the bytes asked for follow there:
 * fewer than asked when the region ends before.  NULL when no region has that address.
 */
uint8_t *guest_memory_find(struct guest_memory *memory, uint64_t guest_address, uint64_t *length);

/* All of `length` bytes in one piece, or NULL. */
uint8_t *guest_memory_at(struct guest_memory *memory, uint64_t guest_address, uint64_t length);

/* The guest address that the VMM has mapped at `user_address`; false unless one region holds all of
 * `length` bytes. */
bool guest_memory_from_user(struct guest_memory *memory, uint64_t user_address, uint64_t length,
                            uint64_t *guest_address);

bool guest_memory_logging(const struct guest_memory *memory);

/* Marks what the device wrote (or is about to write) as dirty.  Costs nothing when not logging. */
void guest_memory_dirty(struct guest_memory *memory, uint64_t guest_address, uint64_t length);

#endif
