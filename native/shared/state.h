/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What outlives a device process: one sealed memfd for each connection, made by the session, mapped
 * by both.  The device process writes, the session reads (and the next device process goes on from
 * it).  Nothing in it is trusted: a process that was taken over may have written anything, so every
 * index is bounded where it is used.
 */
#ifndef VGPUD_STATE_H
#define VGPUD_STATE_H

#include <stdint.h>

/* [python] */
enum { STATE_QUEUES = 2, STATE_SCANOUTS = 16, STATE_CHAINS = 1024 };

/* A chain that was taken from the ring and not given back.  It can be answered from this alone: in
 * a packed ring its descriptors may be overwritten by then. */
struct chain_state {
    uint32_t in_flight;
    uint32_t sequence; /* in the order in which they were taken */
    uint16_t id;       /* head of a split ring, buffer id of a packed one */
    uint16_t descriptors;
    uint32_t response_length;
    uint64_t response_address; /* guest address of the first writable bytes */
    uint32_t flags;            /* these four of the request's virtio_gpu_ctrl_hdr */
    uint32_t ring_idx;
    uint64_t fence_id;
    uint32_t ctx_id;
    uint32_t reserved;
};

/*
 * Written so that a process that dies between any two instructions leaves something to go on from:
 * taking a chain ends with the one store to `available`, giving it back goes through `completing`.
 */
struct queue_state {
    uint64_t available;  /* bits 0-15 next_avail (packed: bit 15 its wrap), 32-63 chains taken */
    uint32_t used;       /* next_used (packed: bit 15 its wrap) */
    uint32_t completing; /* 1 + the entry of `chains` that is being given back, or 0 */
    struct chain_state chains[STATE_CHAINS];
};

/* The surface that a scanout shows; `resource_id` 0: it is disabled. */
struct surface_state {
    uint32_t resource_id;
    uint32_t x, y, width, height;           /* what of the surface is shown, in pixels */
    uint32_t surface_width, surface_height; /* pixels */
    uint32_t format;                        /* VIRTIO_GPU_FORMAT_* */
    uint32_t stride;                        /* bytes */
    uint32_t reserved;
    uint64_t offset; /* of the first pixel in the resource, bytes */
};

/* Since the session started; device processes come and go. */
struct counters {
    uint64_t commands;
    uint64_t errors;        /* commands answered with an error */
    uint64_t out_of_memory; /* those that met a limit */
    uint64_t fences;
    uint64_t transfers;
    uint64_t transfer_bytes;
    uint64_t flushes;
    uint64_t present_records;
    uint64_t deferred; /* flushes that had to wait for the presenter */
    uint64_t kicks;
    uint64_t calls;
    uint64_t exits;         /* returns to Python */
    uint64_t contexts_lost; /* whose process has gone: the library refuses what they do */
};

struct session_state {
    uint32_t magic;
    uint32_t version;
    uint64_t progress;       /* grows with each command and each wake-up */
    uint32_t command;        /* type of the command in execution, 0: none */
    uint32_t command_ctx_id; /* its context, 0: none */
    struct queue_state queues[STATE_QUEUES];
    struct surface_state scanouts[STATE_SCANOUTS];
    struct counters counters;
    uint64_t image_bytes; /* host memory of images and textures, as the device process counts it */
    uint64_t images;      /* each a descriptor */
    uint64_t images_max;  /* what its limit of descriptors allows */
};

int session_state_create(void); /* a memfd that can neither grow nor shrink, or -errno */
struct session_state *session_state_map(int fd); /* NULL: not made by session_state_create() */
void session_state_unmap(struct session_state *state);
/* [end python] */

#endif
