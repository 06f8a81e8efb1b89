/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The device process's control queue, entered as a hypervisor enters a vCPU: device_run() stays as
 * long as the work is ordinary and comes back with an exit reason when something needs policy.
 *
 * One thread.  Python does nothing else with a device while device_run() has it.
 */
#ifndef VGPUD_RUN_H
#define VGPUD_RUN_H

#include <stdint.h>

#include "ring/memory.h"
#include "ring/queue.h"
#include "shared/state.h"

/* [python] */
struct device;

enum { RENDERER_NULL, RENDERER_2D, RENDERER_VIRGL };

struct device_limits {
    uint64_t image_bytes; /* of all images together; what is shown counts IMAGE_SLOTS times */
    uint64_t request_bytes;
    uint32_t resources;
    uint32_t backing_entries; /* of all resources together */
    uint32_t contexts;
    uint64_t submit_bytes; /* of one SUBMIT_3D */
};

/* `memory` and `state` stay the caller's and must outlive the device; descriptors are duplicated,
 * -1: none.  NULL with errno. */
struct device *device_new(struct guest_memory *memory, struct session_state *state, int link_fd,
                          int present_fd, int renderer, const struct device_limits *limits,
                          uint32_t num_scanouts);
void device_free(struct device *device);

/* `recover`: from where the session state says that another process left the queue (`base` is not
 * looked at); what that one had in flight is answered with ERR_UNSPEC. */
int device_queue_start(struct device *device, const struct virtqueue_config *config, uint32_t base,
                       int kick_fd, int call_fd, int err_fd, int recover);

/* Answers what is pending (ERR_UNSPEC) and gives in `base` where to start again. */
int device_queue_stop(struct device *device, uint32_t *base);
int device_queue_set_enabled(struct device *device, int enabled);
int device_queue_set_fd(struct device *device, int which, int fd); /* QUEUE_KICK..., -1: none */

enum { EXIT_COMMAND = 1, EXIT_LINK, EXIT_QUEUE_BROKEN, EXIT_MEMORY_FAULT };

struct device_exit {
    uint32_t reason;
    int32_t error;            /* EXIT_QUEUE_BROKEN: for queue_error_text() */
    uint32_t chain;           /* EXIT_COMMAND: to be given to device_respond() */
    uint32_t request_length;  /* bytes, never less than a virtio_gpu_ctrl_hdr */
    uint32_t response_length; /* room that the guest gave */
    const uint8_t *request;   /* until the next call of device_run() */
};

/*
 * Returns 0 with the reason in `exit`, or -errno when the process is out of something.
 *
 * EXIT_COMMAND       Python executes `request` and calls device_respond(), now or later
 * EXIT_LINK          link_fd is readable (or at its end): returns at once as long as it is
 * EXIT_QUEUE_BROKEN  the queue is not looked at again until it is started anew
 * EXIT_MEMORY_FAULT  guest memory is gone (SIGBUS): the session is over
 */
int device_run(struct device *device, struct device_exit *exit);

/*
 * `response` begins with a virtio_gpu_ctrl_hdr, whose fence, flags and contexts are filled in from
 * the request; it is cut to the room there is.  -ENOENT: no such chain is pending; -EFAULT: guest
 * memory is gone.
 */
int device_respond(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length);
/* [end python] */

#endif
