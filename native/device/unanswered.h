/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Responses: to the chain at hand, to those that Python answers later, to those of a process that
 * died. */
#ifndef VGPUD_UNANSWERED_H
#define VGPUD_UNANSWERED_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/chain.h"

/* [python] */
struct device;

/*
 * `response` begins with a virtio_gpu_ctrl_hdr, whose fence, flags and contexts are filled in from
 * the request; it is cut to the room that there is.  -ENOENT: no such chain is pending; -EFAULT:
 * guest memory has gone.
 */
int device_respond(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length);
/* [end python] */

/*
 * A chain that is not answered yet.  It has addresses, since the memory table may change meanwhile.
 */
struct unanswered {
    struct chain_ticket ticket;
    struct virtio_gpu_ctrl_hdr header;
    uint32_t count;
    struct {
        uint64_t guest_address;
        uint32_t length;
    } pieces[];
};

/* A response of this type, with the request's fence. */
struct virtio_gpu_ctrl_hdr response_header(uint32_t type,
                                           const struct virtio_gpu_ctrl_hdr *request);

/* Answers device->chain. */
void respond_now(struct device *device, const struct virtio_gpu_ctrl_hdr *request, uint32_t type);

/* Keeps device->chain to be answered later; false: no memory left. */
bool unanswered_keep(struct device *device, const struct virtio_gpu_ctrl_hdr *request);

/* Answers one of them; 0, or -EFAULT when guest memory is gone. */
int unanswered_answer(struct device *device, uint32_t chain, const uint8_t *response,
                      uint32_t length);

/* Everything unanswered is answered with an error. */
void unanswered_refuse_all(struct device *device);

/* Answers the chains that another process left in flight with an error. */
void unanswered_refuse_adopted(struct device *device);

/* Forgets them: the driver has reset the device and does not wait. */
void unanswered_drop_all(struct device *device);

#endif
