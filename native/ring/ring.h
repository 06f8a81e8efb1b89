/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A queue and its ring, behind queue.h: what split rings (split.c) and packed ones (packed.c) have
 * in common, and the table of what differs.
 */
#ifndef VGPUD_RING_H
#define VGPUD_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/chain.h"
#include "ring/kick.h"
#include "ring/memory.h"
#include "shared/state.h"

/* [python] */
enum { QUEUE_SIZE_MAX = 1024 };

/* Packed when VIRTIO_F_RING_PACKED is in `features`. */
struct virtqueue_config {
    uint32_t size;
    uint64_t features;
    uint64_t descriptor, used,
        available; /* user addresses, or guest addresses with gpa_addresses */
    uint32_t gpa_addresses;
    uint32_t log_used; /* VHOST_VRING_F_LOG: writes to the used ring are logged at log_address */
    uint64_t log_address;
};
/* [end python] */

struct queue;

/* VIRTIO 1.2, 2.7.5 and 2.8.13. */
enum { DESCRIPTOR_NEXT = 1, DESCRIPTOR_WRITE = 2, DESCRIPTOR_INDIRECT = 4, DESCRIPTOR_BYTES = 16 };

struct ring_areas {
    uint64_t descriptor, available, used; /* bytes of each */
    uint32_t available_alignment;         /* the others have 16 and 4 */
};

struct ring_operations {
    struct ring_areas (*areas)(uint32_t size);
    bool (*size_valid)(uint32_t size);
    /* Takes both positions from vhost-user's base; -EINVAL: outside the ring. */
    int (*set_base)(struct queue *queue, uint32_t base);
    uint32_t (*base)(const struct queue *queue);
    /* The positions as the session state has them. */
    uint16_t (*avail_position)(const struct queue *queue);
    uint16_t (*used_position)(const struct queue *queue);
    bool (*has_available)(struct queue *queue);
    /* Takes the chain at next_avail, which moves past it; 1, 0: there is none, negative: the queue
     * is broken. */
    int (*take)(struct queue *queue, struct chain *chain);
    /* Makes one used element visible; next_used moves past it. */
    void (*publish)(struct queue *queue, const struct chain_ticket *ticket, uint32_t written);
    void (*skip_used)(struct queue *queue, uint16_t descriptors);
    /* Whether an element at next_used is visible already. */
    bool (*published)(const struct queue *queue);
    bool (*interrupt_wanted)(struct queue *queue);
    void (*set_kicks)(struct queue *queue, bool wanted);
};

struct queue {
    struct guest_memory *memory;
    const struct ring_operations *ring;
    struct queue_state *state; /* only written here; what is read is below */
    struct virtqueue_config config;
    bool started, enabled, broken;
    bool event_idx, indirect;
    struct kick kick;
    int call_fd, err_fd; /* -1: none */

    uint8_t *descriptor, *available, *used;
    uint64_t descriptor_guest, used_guest;

    uint16_t next_avail, next_used;
    bool avail_wrap, used_wrap; /* packed */
    uint16_t avail_seen;        /* split: the driver's index when last read */
    uint16_t used_notified;     /* split: next_used at the last look at whether to interrupt */
    uint32_t pushed;            /* places given back since then */
    bool kicks_wanted;

    uint32_t sequence;  /* chains taken */
    uint32_t in_flight; /* places of chains that were not given back */
    uint32_t free_count;
    uint16_t free[QUEUE_SIZE_MAX]; /* entries of state->chains */
};

/* A descriptor of either layout.  Split rings have (flags, next), packed rings (id, flags). */
struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t third, fourth;
};

/* Fetched once: this copy stays as it is, whatever the guest writes there afterwards. */
static inline struct descriptor descriptor_fetch(const uint8_t *at) {
    struct descriptor descriptor;
    uint64_t address, rest;

    __builtin_memcpy(&address, at, 8);
    __builtin_memcpy(&rest, at + 8, 8);
    /* The compiler must not read guest memory again instead of keeping the value. */
    __asm__ volatile("" : "+r"(address), "+r"(rest));
    descriptor.address = address;
    descriptor.length = (uint32_t)rest;
    descriptor.third = (uint16_t)(rest >> 32);
    descriptor.fourth = (uint16_t)(rest >> 48);
    return descriptor;
}

/* vring_need_event() of VIRTIO 1.2, 2.7.10: the step from `old` to `new` passed `event`. */
static inline bool event_passed(uint16_t event, uint16_t new, uint16_t old) {
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* An indirect table in one piece: length a multiple of 16, not empty, not too long.  NULL: no such
 * table, and why in `error`. */
const uint8_t *ring_indirect_table(struct queue *queue, const struct descriptor *descriptor,
                                   uint32_t *count, int *error);

/* The device wrote `length` bytes into the area that vhost-user calls "used". */
void ring_dirty_used(struct queue *queue, uint64_t offset, uint64_t length);
/* Likewise for a packed ring's descriptors. */
void ring_dirty_descriptor(struct queue *queue, uint64_t offset, uint64_t length);

#endif
