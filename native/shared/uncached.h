/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Copies past the processor's caches, and when they pay.
 *
 * An ordinary store first reads its cache line from memory.  That is a third of what a copy moves,
 * and limits two cores that work on frames.  A 4K frame has left the caches before it is sent: past
 * the caches its copy takes 20 to 30 % less time, and the whole frame a tenth less.  A 1080p frame
 * is better left in the last cache (0.6 ms instead of 0.45, but then read 0.25 ms faster), unless
 * others use that cache: then it is 2 ms instead of 0.45.  The copies' own times tell which is the
 * case.
 */
#ifndef VGPUD_UNCACHED_H
#define VGPUD_UNCACHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sizes in bytes: from the first on it may pay, from the second on it always does. */
enum { UNCACHED_MAYBE = 4 << 20, UNCACHED_ALWAYS = 16 << 20 };

/* All zero: nothing is known yet. */
struct uncached_choice {
    uint64_t cost[2]; /* nanoseconds for each MiB: of an ordinary copy, of an uncached one */
    uint32_t copies;  /* since the other kind was last tried */
};

/* Whether the next copy, of this many bytes, should go past the caches. */
bool uncached_wanted(struct uncached_choice *choice, uint64_t bytes);
/* Notes how long a copy took, by uncached_clock(). */
void uncached_measured(struct uncached_choice *choice, bool uncached, uint64_t bytes,
                       uint64_t nanoseconds);
/* This thread's processor time, so that interruptions do not count. */
uint64_t uncached_clock(void);

/* As memcpy().  What it wrote is visible to other processors as usual. */
void uncached_copy(uint8_t *restrict to, const uint8_t *restrict from, size_t length);

#endif
