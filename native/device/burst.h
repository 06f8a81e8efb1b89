/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* In the middle of a burst of commands: who has to hear of what is done. */
#ifndef VGPUD_BURST_H
#define VGPUD_BURST_H

#include <stdint.h>

struct device;

/* Commands until a look at the other descriptors: device->burst counts up to it. */
enum { BURST_LOOK_EVERY = 64 };

/* The driver hears of what is done. */
void burst_notify(struct device *device);

/* The driver and the presenter do. */
void burst_tell(struct device *device);

/* Before a command copies `bytes`: they hear of what is done before something long. */
void burst_expect_copy(struct device *device, uint64_t bytes);

#endif
