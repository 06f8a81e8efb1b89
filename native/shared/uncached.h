/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Copies past the processor's caches, and when they pay.
 *
 * An ordinary store reads its cache line from memory first, a third of what a copy moves, and two
 * cores at work on frames are limited by that.  A 4K frame has left the caches before it is sent:
 * its copy takes 20 to 30 % less time, all that happens to it a tenth less.  One of 1080p is better
 * left in the last cache (0.6 ms against 0.45, but then read 0.25 ms faster), unless others have
 * that cache in use: then it is 2 ms against 0.45.  Which of the two is the case, the copies' own
 * times tell.
 */
#ifndef VGPUD_UNCACHED_H
#define VGPUD_UNCACHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sizes in bytes: from the first on it depends, from the second on it always pays. */
enum { UNCACHED_MAYBE = 4 << 20, UNCACHED_ALWAYS = 16 << 20 };

/* All zero: nothing is known yet. */
struct uncached_choice {
    uint64_t cost[2]; /* nanoseconds for each MiB: an ordinary copy's, an uncached one's */
    uint32_t copies;  /* since the other kind was tried */
};

/* Whether the next copy of so many bytes is to go past them. */
bool uncached_wanted(struct uncached_choice *choice, uint64_t bytes);
/* How long it took, by uncached_clock(). */
void uncached_measured(struct uncached_choice *choice, bool uncached, uint64_t bytes,
                       uint64_t nanoseconds);
/* This thread's processor time: to have been interrupted does not count. */
uint64_t uncached_clock(void);

/* As memcpy().  What it wrote is visible to other processors as usual. */
void uncached_copy(uint8_t *restrict to, const uint8_t *restrict from, size_t length);

#endif
