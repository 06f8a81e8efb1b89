/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/scratch.h"

#include <stdlib.h>

enum { ALIGNMENT = 64 };

bool scratch_make_room(struct scratch *scratch, uint64_t length) {
    void *larger;

    if (length <= scratch->room)
        return true;
    if (posix_memalign(&larger, ALIGNMENT, length) != 0)
        return false;
    free(scratch->bytes);
    *scratch = (struct scratch){.bytes = larger, .room = length};
    return true;
}
