/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "shared/layout.h"

#include <stddef.h>

#include "shared/format.h"
#include "shared/image.h"

static bool side_valid(uint32_t side) {
    return side > 0 && side <= IMAGE_SIDE_MAX;
}

/* No sum wraps: a side has 15 bits and a stride 32. */
bool layout_fits(const struct layout *layout, uint64_t bytes) {
    uint64_t row = image_stride(layout->width), extent;

    if (format_converter(layout->format) == NULL || !side_valid(layout->width) ||
        !side_valid(layout->height) || layout->stride < row)
        return false;
    extent = (uint64_t)layout->stride * (layout->height - 1) + row;
    return extent <= bytes && layout->offset <= bytes - extent;
}
