/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* In the middle of a burst of commands: telling others what is done. */
#ifndef VGPUD_BURST_H
#define VGPUD_BURST_H

#include <stdint.h>

struct device;

/* Commands until a look at the other descriptors: device->burst counts up to it. */
enum { BURST_LOOK_EVERY = 64 };

/* Tells the driver what is done. */
void burst_notify(struct device *device);

/* Tells the driver and the presenter. */
void burst_tell(struct device *device);

/* Before a command copies `bytes`: if that takes long, they are told first what is done. */
void burst_expect_copy(struct device *device, uint64_t bytes);

#endif
