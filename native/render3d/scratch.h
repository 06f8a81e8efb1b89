/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A buffer that grows as it is needed. */
#ifndef VGPUD_SCRATCH_H
#define VGPUD_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

struct scratch {
    uint8_t *bytes; /* aligned to a cache line */
    uint64_t room;
};

/* At least `length` bytes, with any contents; false: no memory. */
bool scratch_make_room(struct scratch *scratch, uint64_t length);

#endif
