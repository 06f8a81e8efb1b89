/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "shared/format.h"

#include <linux/virtio_gpu.h>
#include <string.h>

#include "shared/processor.h"
#include "shared/uncached.h"

/*
 * Each pixel is one little-endian word; an image has 0xAARRGGBB.  Loops as plain as these become
 * vector instructions.
 */

static uint32_t load_pixel(const uint8_t *from, size_t index) {
    uint32_t pixel;

    memcpy(&pixel, from + index * sizeof(pixel), sizeof(pixel));
    return pixel;
}

static void store_pixel(uint8_t *to, size_t index, uint32_t pixel) {
    memcpy(to + index * sizeof(pixel), &pixel, sizeof(pixel));
}

enum { OPAQUE = (int)0xff000000 };

/* R, G, B, A in memory: 0xAABBGGRR. */
static uint32_t from_rgba(uint32_t pixel) {
    return (pixel & 0xff00ff00) | (pixel >> 16 & 0xff) | (pixel & 0xff) << 16;
}

/* A, R, G, B in memory: 0xBBGGRRAA. */
static uint32_t from_argb(uint32_t pixel) {
    return __builtin_bswap32(pixel);
}

/* A, B, G, R in memory: 0xRRGGBBAA. */
static uint32_t from_abgr(uint32_t pixel) {
    return pixel >> 8 | pixel << 24;
}

static void copy(uint8_t *restrict to, const uint8_t *restrict from, size_t count) {
    memcpy(to, from, count * sizeof(uint32_t));
}

static void copy_uncached(uint8_t *restrict to, const uint8_t *restrict from, size_t count) {
    uncached_copy(to, from, count * sizeof(uint32_t));
}

#define CONVERTER(name, expression)                                                                \
    static void name(uint8_t *restrict to, const uint8_t *restrict from, size_t count) {           \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint32_t pixel = load_pixel(from, i);                                                  \
            store_pixel(to, i, expression);                                                        \
        }                                                                                          \
    }

/* The same again for processors that shuffle 32 bytes at once. */
#if defined(__x86_64__)
#define CONVERTERS(name, expression)                                                               \
    CONVERTER(name, expression)                                                                    \
    __attribute__((target("avx2"))) CONVERTER(name##_wide, expression)
#define WIDE(name) name##_wide
#else
#define CONVERTERS(name, expression) CONVERTER(name, expression)
#define WIDE(name) name
#endif

CONVERTERS(convert_rgba, from_rgba(pixel))
CONVERTERS(convert_rgbx, from_rgba(pixel) | (uint32_t)OPAQUE)
CONVERTERS(convert_argb, from_argb(pixel))
CONVERTERS(convert_xrgb, from_argb(pixel) | (uint32_t)OPAQUE)
CONVERTERS(convert_abgr, from_abgr(pixel))
CONVERTERS(convert_xbgr, from_abgr(pixel) | (uint32_t)OPAQUE)

/* B8G8R8X8 is copied as it is: the display ignores the fourth byte, and a copy is what Linux'
 * framebuffers get. */
static const struct {
    uint32_t format;
    format_convert convert, wide;
} FORMATS[] = {
    {VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, copy, copy},
    {VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, copy, copy},
    {VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, convert_argb, WIDE(convert_argb)},
    {VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, convert_xrgb, WIDE(convert_xrgb)},
    {VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, convert_rgba, WIDE(convert_rgba)},
    {VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, convert_xbgr, WIDE(convert_xbgr)},
    {VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, convert_abgr, WIDE(convert_abgr)},
    {VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, convert_rgbx, WIDE(convert_rgbx)},
};

enum { FORMAT_COUNT = sizeof(FORMATS) / sizeof(FORMATS[0]) };

format_convert format_converter(uint32_t format) {
    for (int i = 0; i < FORMAT_COUNT; i++)
        if (FORMATS[i].format == format)
            return processor_has_avx2() ? FORMATS[i].wide : FORMATS[i].convert;
    return NULL;
}

format_convert format_uncached(format_convert convert) {
    return convert == copy ? copy_uncached : convert;
}
