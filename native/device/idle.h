/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Between two bursts of work.  A driver that waits for each answer sends the next command within
 * microseconds: looking for it that long is cheaper, for both sides, than sleeping and being woken.
 * As in KVM's halt polling the time is found by trial: it grows while a longer time would have been
 * enough, and is 0 when commands come rarely.
 */
#ifndef VGPUD_IDLE_H
#define VGPUD_IDLE_H

#include <stdbool.h>
#include <stdint.h>

struct device;

/* All in nanoseconds. */
struct patience {
    uint64_t spin;
    uint64_t idle_since, yield_until; /* CLOCK_MONOTONIC */
};

/* All that was asked for is done now, and the time until the next command counts. */
void idle_begin(struct device *device);

/* Whether looking at the ring would pay. */
bool idle_pays(const struct device *device);

/* Looks at the ring for as long as it pays; true: there is work. */
bool idle_spin(struct device *device);

/* Sleep ended with a kick: adapts the time. */
void idle_kicked(struct device *device);

#endif
