/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "shared/uncached.h"

#include <string.h>
#include <time.h>

/* One copy in this many is of the other kind, to measure that too. */
enum { TRY_EVERY = 32 };
/* An ordinary copy may take this many times as long: what it leaves in the cache is worth that. */
enum { WORTH = 2 };

static bool better_uncached(const struct uncached_choice *choice) {
    return choice->cost[true] > 0 && choice->cost[false] > WORTH * choice->cost[true];
}

bool uncached_wanted(struct uncached_choice *choice, uint64_t bytes) {
    if (bytes < UNCACHED_MAYBE || bytes >= UNCACHED_ALWAYS)
        return bytes >= UNCACHED_ALWAYS;
    if (++choice->copies < TRY_EVERY)
        return better_uncached(choice);
    choice->copies = 0;
    return !better_uncached(choice);
}

void uncached_measured(struct uncached_choice *choice, bool uncached, uint64_t bytes,
                       uint64_t nanoseconds) {
    uint64_t *cost = &choice->cost[uncached];
    uint64_t now = (nanoseconds << 20) / bytes + 1;

    if (bytes >= UNCACHED_MAYBE && bytes < UNCACHED_ALWAYS)
        *cost = *cost > 0 ? (3 * *cost + now) / 4 : now;
}

uint64_t uncached_clock(void) {
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#ifdef __SSE2__
#include <emmintrin.h>

enum { LINE = 64, VECTOR = 16 };

static void copy_line(uint8_t *restrict to, const uint8_t *restrict from) {
    __m128i parts[LINE / VECTOR];

    for (int i = 0; i < LINE / VECTOR; i++)
        parts[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + i * VECTOR));
    for (int i = 0; i < LINE / VECTOR; i++)
        _mm_stream_si128((__m128i *)(void *)(to + i * VECTOR), parts[i]);
}

void uncached_copy(uint8_t *restrict to, const uint8_t *restrict from, size_t length) {
    size_t head = -(uintptr_t)to % LINE;

    if (length < head + LINE) {
        memcpy(to, from, length);
        return;
    }
    memcpy(to, from, head);
    to += head, from += head, length -= head;
    for (; length >= LINE; to += LINE, from += LINE, length -= LINE)
        copy_line(to, from);
    memcpy(to, from, length);
    /* Such stores are not ordered with later ones, which say that the pixels are there. */
    _mm_sfence();
}

#else

void uncached_copy(uint8_t *restrict to, const uint8_t *restrict from, size_t length) {
    memcpy(to, from, length);
}

#endif
