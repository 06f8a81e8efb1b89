/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A device's state, which its parts share.  Their own headers say what they do with it. */
#ifndef VGPUD_DEVICE_H
#define VGPUD_DEVICE_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/channel.h"
#include "device/idle.h"
#include "device/limits.h"
#include "device/renderers.h"
#include "device/resource_table.h"
#include "device/scanout.h"
#include "device/unanswered.h"
#include "ring/chain.h"
#include "ring/memory.h"
#include "ring/queue.h"
#include "shared/state.h"
#include "shared/uncached.h"

struct device {
    struct guest_memory *memory;
    struct memory_watcher watcher;
    struct session_state *state;
    int link_fd;
    const struct renderer *renderer;
    bool draws; /* images have pixels, and are presented */
    struct device_limits limits;
    uint32_t num_scanouts;

    struct resource_table resources;
    struct render3d *render3d; /* render3d/render3d.h; NULL: the guest cannot draw */
    uint64_t image_bytes;      /* against the limits */
    uint64_t images;
    uint64_t backing_entries;
    uint32_t lost_backings; /* not reported yet */
    uint32_t next_image_id;

    struct scanout scanouts[STATE_SCANOUTS];
    struct channel channel;
    bool flushed;      /* since the last rest (rest.h) */
    uint32_t deferred; /* a bit for each scanout that has something to send */

    struct queue queue;
    int queue_error; /* reported by the next device_run() */
    struct unanswered *unanswered[QUEUE_SIZE_MAX];
    struct patience patience;
    struct uncached_choice uncached;
    uint64_t unnotified; /* bytes copied since the driver was last told of what is done */
    uint32_t burst;      /* commands since the last look at other descriptors */

    uint8_t *request; /* of EXIT_COMMAND */
    size_t request_room;
    struct chain chain;
};

#endif
