/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What differs between a split and a packed ring, behind queue.h. */
#ifndef VGPUD_RING_H
#define VGPUD_RING_H

#include "ring/queue.h"

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
    /* The chain at next_avail, which then lies behind it; as queue_pop(). */
    int (*take)(struct queue *queue, struct chain *chain);
    /* Makes one used element visible; next_used then lies behind it. */
    void (*publish)(struct queue *queue, const struct chain_ticket *ticket, uint32_t written);
    void (*skip_used)(struct queue *queue, uint16_t descriptors);
    /* Whether an element at next_used is visible already. */
    bool (*published)(const struct queue *queue);
    bool (*interrupt_wanted)(struct queue *queue);
    void (*set_kicks)(struct queue *queue, bool wanted);
};

extern const struct ring_operations split_ring, packed_ring;

/* A descriptor of either layout.  Split rings have (flags, next), packed rings (id, flags). */
struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t third, fourth;
};

/* Fetched once: whatever the guest writes there afterwards, this copy stays as it is. */
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

/* vring_need_event() of VIRTIO 1.2, 2.7.10: the step from `old` to `new` went over `event`. */
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
