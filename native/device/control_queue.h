/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The control queue, started and stopped by the session; run.h is its work in between. */
#ifndef VGPUD_CONTROL_QUEUE_H
#define VGPUD_CONTROL_QUEUE_H

#include <stdint.h>

#include "ring/queue.h"

/* [python] */
struct device;

/* `recover`: from where the session state says that another process left the queue (`base` is
 * ignored); what that process had in flight is answered with ERR_UNSPEC. */
int device_queue_start(struct device *device, const struct virtqueue_config *config, uint32_t base,
                       int kick_fd, int call_fd, int err_fd, int recover);

/* Answers what is pending (ERR_UNSPEC); `base` becomes where to start again. */
int device_queue_stop(struct device *device, uint32_t *base);
int device_queue_set_enabled(struct device *device, int enabled);
int device_queue_set_fd(struct device *device, int which, int fd); /* QUEUE_KICK..., -1: none */
/* [end python] */

#endif
