/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The device process's control queue, entered as a hypervisor enters a vCPU: device_run() stays as
 * long as the work is ordinary, and returns with an exit reason when something needs a decision.
 *
 * One thread.  Python does nothing else with a device while device_run() has it.
 */
#ifndef VGPUD_RUN_H
#define VGPUD_RUN_H

#include <stdint.h>

/* [python] */
struct device;

enum { EXIT_COMMAND = 1, EXIT_LINK, EXIT_QUEUE_BROKEN, EXIT_MEMORY_FAULT };

struct device_exit {
    uint32_t reason;
    int32_t error;            /* EXIT_QUEUE_BROKEN: for queue_error_text() */
    uint32_t chain;           /* EXIT_COMMAND: for device_respond() */
    uint32_t request_length;  /* bytes, never less than a virtio_gpu_ctrl_hdr */
    uint32_t response_length; /* room that the guest gave */
    const uint8_t *request;   /* until the next call of device_run() */
};

/*
 * Returns 0 with the reason in `exit`, or -errno when the process has run out of something.
 *
 * EXIT_COMMAND       Python executes `request` and calls device_respond(), now or later
 * EXIT_LINK          link_fd is readable (or at its end): returns at once as long as it is
 * EXIT_QUEUE_BROKEN  the queue is not looked at again until it is started again
 * EXIT_MEMORY_FAULT  guest memory is gone (SIGBUS): the session is over
 */
int device_run(struct device *device, struct device_exit *exit);
/* [end python] */

#endif
