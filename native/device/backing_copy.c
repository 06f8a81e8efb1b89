/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/backing_copy.h"

#include "device/device.h"
#include "ring/backing.h"
#include "shared/image.h"
#include "shared/uncached.h"

/* Rows without gaps between them. */
static void copy_whole(struct device *device, struct backing *backing, format_convert convert,
                       const struct rows *rows) {
    uint64_t pixels = rows->pixels * rows->count;
    uint64_t bytes = pixels * IMAGE_PIXEL_BYTES, begun;
    bool uncached;

    if (bytes < UNCACHED_MAYBE) {
        backing_read(backing, rows->from, rows->to, pixels, convert);
        return;
    }
    uncached = uncached_wanted(&device->uncached, bytes);
    begun = uncached_clock();
    backing_read(backing, rows->from, rows->to, pixels,
                 uncached ? format_uncached(convert) : convert);
    uncached_measured(&device->uncached, uncached, bytes, uncached_clock() - begun);
}

void backing_copy(struct device *device, struct backing *backing, format_convert convert,
                  const struct rows *rows) {
    uint64_t row = rows->pixels * IMAGE_PIXEL_BYTES, from = rows->from;
    uint8_t *to = rows->to;

    if (row == rows->from_stride && row == rows->to_stride) {
        copy_whole(device, backing, convert, rows);
        return;
    }
    for (uint32_t i = 0; i < rows->count; i++, from += rows->from_stride, to += rows->to_stride)
        backing_read(backing, from, to, rows->pixels, convert);
}
