/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The device's life: made once for a process, reset as often as the driver likes. */
#ifndef VGPUD_LIFETIME_H
#define VGPUD_LIFETIME_H

#include <stdint.h>

#include "device/limits.h"
#include "ring/memory.h"
#include "shared/state.h"

/* [python] */
struct device;

/* `draws` 0: images get no pixels, and nothing is presented.  The caller keeps `memory` and
 * `state`, which must outlive the device; descriptors are duplicated, -1: none.  NULL with errno.
 */
struct device *device_new(struct guest_memory *memory, struct session_state *state, int link_fd,
                          int present_fd, int draws, const struct device_limits *limits,
                          uint32_t num_scanouts);
void device_free(struct device *device);

/* Resources, scanouts and pending chains (unanswered) are gone. */
void device_reset(struct device *device);

/* How many resources have lost their backing by changes of the memory table since the last call. A
 * queue that lost its rings by one is broken, which the next device_run() reports. */
int device_lost_backings(struct device *device);
/* [end python] */

#endif
