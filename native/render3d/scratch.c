/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/scratch.h"

#include <stdlib.h>

bool scratch_make_room(uint8_t **buffer, uint64_t *room, uint64_t length) {
    uint8_t *larger;

    if (length <= *room)
        return true;
    if (posix_memalign((void **)&larger, 64, length) != 0)
        return false;
    free(*buffer);
    *buffer = larger;
    *room = length;
    return true;
}
