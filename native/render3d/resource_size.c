/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/resource_size.h"

#include <stddef.h>

/* Formats, by the protocol's numbers, that do not have 4 bytes for a pixel.  `step` is added for
 * each further format of a range: formats of one, two, three and four channels follow each other.
 */
static const struct {
    uint16_t first, last;
    uint8_t bytes, step;
} sizes[] = {
    {5, 7, 2, 0},                                          /* B5G5R5A1, B4G4R4A4, B5G6R5 */
    {9, 11, 1, 0},                                         /* L8, A8, I8 */
    {16, 16, 2, 0},                                        /* Z16 */
    {24, 27, 8, 8},                                        /* R64 … R64G64B64A64 */
    {28, 31, 4, 4},                                        /* R32 …, float */
    {32, 35, 4, 4},                                        /* unorm */
    {36, 39, 4, 4},                                        /* uscaled */
    {40, 43, 4, 4},                                        /* snorm */
    {44, 47, 4, 4},                                        /* sscaled */
    {48, 51, 2, 2},                                        /* R16 …, unorm */
    {52, 55, 2, 2},                                        /* uscaled */
    {56, 59, 2, 2},                                        /* snorm */
    {60, 63, 2, 2},                                        /* sscaled */
    {64, 66, 1, 1},                                        /* R8, R8G8, R8G8B8 */
    {87, 90, 4, 4},                                        /* R32 …, fixed */
    {91, 94, 2, 2},                                        /* R16 …, float */
    {105, 116, 1, 0},                                      /* DXT, RGTC: half a byte or one */
    {126, 126, 8, 0},                                      /* Z32_FLOAT_S8X24 */
    {138, 138, 8, 0},  {161, 161, 8, 0},                   /* L32A32 */
    {177, 178, 1, 1},                                      /* R8, R8G8, uint */
    {181, 182, 1, 1},                                      /* sint */
    {185, 188, 2, 2},                                      /* R16 …, uint */
    {189, 192, 2, 2},                                      /* sint */
    {193, 196, 4, 4},                                      /* R32 …, uint */
    {197, 200, 4, 4},                                      /* sint */
    {220, 220, 8, 0},  {224, 224, 8, 0}, {234, 238, 8, 0}, /* R16G16B16X16 */
    {239, 241, 16, 0},                                     /* R32G32B32X32 */
    {246, 246, 8, 0},  {251, 252, 8, 0}, {255, 258, 1, 0}, /* BPTC */
    {269, 306, 1, 0},                                      /* ETC2, ASTC */
};

static uint64_t pixel_bytes(uint32_t format) {
    for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++)
        if (format >= sizes[index].first && format <= sizes[index].last)
            return sizes[index].bytes + sizes[index].step * (format - sizes[index].first);
    return 4;
}

static uint64_t multiply(uint64_t a, uint64_t b) {
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

bool format_compressed(uint32_t format) {
    static const struct {
        uint16_t first, last;
    } compressed[] = {{105, 116}, {255, 258}, {269, 306}};

    for (size_t index = 0; index < sizeof(compressed) / sizeof(compressed[0]); index++)
        if (format >= compressed[index].first && format <= compressed[index].last)
            return true;
    return false;
}

uint64_t resource_3d_bytes(const struct resource_3d *resource) {
    if (resource->target == PIPE_BUFFER)
        return resource->width;
    if (resource->last_level >= 32)
        return UINT64_MAX;
    uint64_t pixels = 0;
    for (uint32_t level = 0; level <= resource->last_level; level++) {
        uint64_t plane =
            multiply(size_at_level(resource->width, level), size_at_level(resource->height, level));
        uint64_t volume = multiply(plane, size_at_level(resource->depth, level));
        if (__builtin_add_overflow(pixels, volume, &pixels))
            return UINT64_MAX;
    }
    uint64_t layers = resource->array_size != 0 ? resource->array_size : 1;
    uint64_t samples = resource->nr_samples != 0 ? resource->nr_samples : 1;
    return multiply(multiply(multiply(pixels, pixel_bytes(resource->format)), layers), samples);
}
