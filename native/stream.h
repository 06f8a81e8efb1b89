/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Copies for which a cache is of no use: what is written will have left it before anybody reads it.
 */
#ifndef VGPUD_STREAM_H
#define VGPUD_STREAM_H

#include <stddef.h>
#include <stdint.h>

/*
 * From here on, in bytes: a 4K frame, not one of 1080p.  An ordinary store reads its cache line
 * from memory first, a third of what a copy moves; two cores at work on frames are limited by that.
 * Measured with others busy on the machine: 20 to 30 % less time for the copy of a 4K frame, and a
 * tenth of the whole frame's; a frame of 1080p is still in the cache when it is sent, and loses
 * there what it gains here.
 */
enum { STREAM_BYTES = 16 << 20 };

/* As memcpy().  What it wrote is visible to other processors as usual. */
void stream_copy(uint8_t *restrict to, const uint8_t *restrict from, size_t length);

#endif
