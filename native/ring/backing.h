/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The guest memory behind a resource: pieces in order, looked up by the offset into all of them
 * together.
 */
#ifndef VGPUD_BACKING_H
#define VGPUD_BACKING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ring/memory.h"
#include "shared/format.h"

struct backing;

/* `entries`: nr_entries × struct virtio_gpu_mem_entry, unaligned.  NULL with errno: EFAULT outside
 * guest memory, ENOMEM. */
struct backing *backing_new(struct guest_memory *memory, const uint8_t *entries,
                            uint32_t nr_entries);
void backing_free(struct backing *backing);

/* Looks everything up again after a change of the memory table; false: some of it has gone. */
bool backing_translate(struct backing *backing, struct guest_memory *memory);

/* The same as an array that readv() would take; NULL: no memory.  free() it. */
struct iovec *backing_iov(const struct backing *backing, uint32_t *count);

/* All of it was written, or may have been. */
void backing_dirty(const struct backing *backing, struct guest_memory *memory);

uint32_t backing_entries(const struct backing *backing); /* as the guest counted them */
uint64_t backing_bytes(const struct backing *backing);

/* Converts `count` pixels from `offset` on, which must be inside. */
void backing_read(struct backing *backing, uint64_t offset, uint8_t *to, uint64_t count,
                  format_convert convert);

#endif
