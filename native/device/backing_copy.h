/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Rows of pixels, from a resource's backing into a picture. */
#ifndef VGPUD_BACKING_COPY_H
#define VGPUD_BACKING_COPY_H

#include <stdint.h>

#include "shared/format.h"

struct backing;
struct device;

struct rows {
    uint64_t from, from_stride; /* in the backing, bytes */
    uint8_t *to;
    uint64_t to_stride; /* bytes */
    uint64_t pixels;    /* in a row */
    uint32_t count;
};

/* Everything must be inside the backing.  A large picture without gaps goes past the processor's
 * caches where that has turned out to be faster. */
void backing_copy(struct device *device, struct backing *backing, format_convert convert,
                  const struct rows *rows);

#endif
