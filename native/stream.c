/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "stream.h"

#include <string.h>

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

void stream_copy(uint8_t *restrict to, const uint8_t *restrict from, size_t length) {
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
    /* Such stores are not ordered with those that follow and say that the pixels are there. */
    _mm_sfence();
}

#else

void stream_copy(uint8_t *restrict to, const uint8_t *restrict from, size_t length) {
    memcpy(to, from, length);
}

#endif
