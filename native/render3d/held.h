/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Answers that wait for a fence of the library.  VIRTIO 1.2, 5.7.6.7: a command with a fence is
 * answered when all that was begun is done, and drivers take a fence to mean that all earlier ones
 * on its timeline have passed.
 */
#ifndef VGPUD_HELD_H
#define VGPUD_HELD_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>

struct device;

/* An answer that waits for a fence. */
struct held {
    uint32_t chain;
    uint32_t ctx_id, ring_idx; /* of the timeline, with of_ring */
    bool of_ring;              /* otherwise it is the timeline of all contexts */
    uint64_t fence;            /* our number for it: a guest's numbers may come in any order */
    uint32_t length;
    struct virtio_gpu_ctrl_hdr header;
    uint8_t *response; /* if it is longer than a header */
};

/* Holds the chain's answer to a command with a fence; false: there is nothing to wait for. */
bool held_add(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length);
bool held_release(struct device *device, bool all);
void held_sleep(struct device *device, bool asleep);
/* The context has gone, with its timelines: answers what waits for them. */
void held_end_context(struct device *device, uint32_t ctx_id);
/* Forgets all: the device was reset. */
void held_forget(struct device *device);

#endif
