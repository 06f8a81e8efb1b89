/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the fuzz targets share: guest memory in three regions (two of them neighbours), each between
 * pages that nobody may touch, so that an access outside is a crash.
 */
#ifndef VGPUD_FUZZ_MACHINE_H
#define VGPUD_FUZZ_MACHINE_H

#include "input.h"
#include "ring/memory.h"
#include "ring/queue.h"
#include "shared/state.h"

enum {
    RING_AT = 0x1000, /* the driver's three areas, a page each */
    DESCRIPTOR_AT = RING_AT,
    AVAILABLE_AT = RING_AT + 0x1000,
    USED_AT = RING_AT + 0x2000,
    REGION_BYTES = 0x8000,
    FAR_AT = 0x100000,
};

struct machine {
    struct guest_memory *memory;
    struct memory_table *whole;
    struct session_state *state;
    uint8_t *bytes; /* the two neighbours, from guest address 0 on, as the guest sees them */
};

/* Once for a process; each run begins with zeros and all regions. */
struct machine *machine_get(void);
void machine_clear(struct machine *machine);

/* For the rest of the run; if it has gone, or never existed, the table is the same. */
void machine_lose_region(struct machine *machine, uint64_t guest_address);

/* A queue of a kind that the input chooses. */
struct virtqueue_config machine_queue(struct input *input);

#endif
