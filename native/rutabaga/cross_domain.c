/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "rutabaga/cross_domain.h"

#include <string.h>

/* The beginning of each command. */
struct header {
    uint8_t command;
    uint8_t ring_idx;
    uint16_t bytes; /* of all of it */
    uint32_t padding;
};

bool cross_domain_ends(const uint8_t *stream, uint64_t bytes) {
    struct header header;

    while (bytes > 0) {
        if (bytes < sizeof(header))
            return false;
        memcpy(&header, stream, sizeof(header));
        if (header.bytes < sizeof(header) || header.bytes > bytes)
            return false;
        stream += header.bytes;
        bytes -= header.bytes;
    }
    return true;
}
