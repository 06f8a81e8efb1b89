/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The split virtqueue, VIRTIO 1.2, 2.7. */
#include "ring/split.h"

#include <errno.h>

enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };
enum { IDX_OFFSET = 2, RING_OFFSET = 4, USED_ELEMENT_BYTES = 8 };

static struct ring_areas areas(uint32_t size) {
    return (struct ring_areas){.descriptor = (uint64_t)size * DESCRIPTOR_BYTES,
                               .available = RING_OFFSET + 2 * (uint64_t)size + 2,
                               .used = RING_OFFSET + USED_ELEMENT_BYTES * (uint64_t)size + 2,
                               .available_alignment = 2};
}

static bool size_valid(uint32_t size) {
    return (size & (size - 1)) == 0;
}

/* --- the fields that both sides share: single 16-bit loads and stores */

static uint16_t load(const uint8_t *at) {
    return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_RELAXED);
}

static void store(uint8_t *at, uint16_t value) {
    __atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELAXED);
}

static uint16_t avail_idx(const struct queue *queue) {
    return __atomic_load_n((const uint16_t *)(const void *)(queue->available + IDX_OFFSET),
                           __ATOMIC_ACQUIRE);
}

static uint16_t used_idx(const struct queue *queue) {
    return load(queue->used + IDX_OFFSET);
}

static uint16_t used_event(const struct queue *queue) {
    return load(queue->available + RING_OFFSET + 2 * queue->config.size);
}

/* --- positions */

/* Every back-end takes the used index from the ring: vhost-user's base has no room for it. */
static int set_base(struct queue *queue, uint32_t base) {
    queue->next_avail = queue->avail_seen = (uint16_t)base;
    queue->next_used = queue->used_notified = used_idx(queue);
    return 0;
}

static uint32_t base(const struct queue *queue) {
    return queue->next_avail;
}

static uint16_t avail_position(const struct queue *queue) {
    return queue->next_avail;
}

static uint16_t used_position(const struct queue *queue) {
    return queue->next_used;
}

/* --- available */

static bool has_available(struct queue *queue) {
    if (queue->avail_seen == queue->next_avail)
        queue->avail_seen = avail_idx(queue);
    return queue->avail_seen != queue->next_avail;
}

static int add_indirect(struct queue *queue, struct chain *chain,
                        const struct descriptor *descriptor) {
    int error;
    uint32_t count, index = 0;
    const uint8_t *table = ring_indirect_table(queue, descriptor, &count, &error);

    if (table == NULL)
        return error;
    for (uint32_t steps = 0; steps < count; steps++) {
        struct descriptor entry = descriptor_fetch(table + (size_t)index * DESCRIPTOR_BYTES);
        if (entry.third & DESCRIPTOR_INDIRECT)
            return -EBADMSG;
        error = chain_add(chain, queue->memory, entry.address, entry.length,
                          entry.third & DESCRIPTOR_WRITE);
        if (error < 0 || !(entry.third & DESCRIPTOR_NEXT))
            return error;
        index = entry.fourth;
        if (index >= count)
            return -EBADSLT;
    }
    return -ELOOP;
}

static int add_chain(struct queue *queue, struct chain *chain, uint16_t head) {
    uint32_t index = head;

    for (uint32_t steps = 0; steps < queue->config.size; steps++) {
        struct descriptor descriptor;
        int error;
        if (index >= queue->config.size)
            return -EBADSLT;
        descriptor = descriptor_fetch(queue->descriptor + (size_t)index * DESCRIPTOR_BYTES);
        /* It may follow others, and is always the last (2.7.5.3.2). */
        if (descriptor.third & DESCRIPTOR_INDIRECT)
            return descriptor.third & DESCRIPTOR_NEXT ? -EBADMSG
                                                      : add_indirect(queue, chain, &descriptor);
        error = chain_add(chain, queue->memory, descriptor.address, descriptor.length,
                          descriptor.third & DESCRIPTOR_WRITE);
        if (error < 0 || !(descriptor.third & DESCRIPTOR_NEXT))
            return error;
        index = descriptor.fourth;
    }
    return -ELOOP;
}

static uint16_t head_at(const struct queue *queue, uint16_t position) {
    return load(queue->available + RING_OFFSET + 2 * (position & (queue->config.size - 1)));
}

/* The driver has just written the next chain on another processor: start fetching it. */
static void prefetch_next(const struct queue *queue) {
    uint16_t head;

    if (queue->avail_seen == queue->next_avail)
        return;
    head = head_at(queue, queue->next_avail);
    if (head < queue->config.size)
        __builtin_prefetch(queue->descriptor + (size_t)head * DESCRIPTOR_BYTES);
}

static int take(struct queue *queue, struct chain *chain) {
    uint16_t head;
    int error;

    if (!has_available(queue))
        return 0;
    if ((uint16_t)(queue->avail_seen - queue->next_avail) > queue->config.size)
        return -ERANGE;
    head = head_at(queue, queue->next_avail);
    queue->next_avail++;
    prefetch_next(queue);
    error = add_chain(queue, chain, head);
    if (error < 0)
        return error;
    chain->ticket.id = head;
    chain->ticket.descriptors = 1; /* only heads are counted: at most as many as places */
    return 1;
}

/* --- used */

static void publish(struct queue *queue, const struct chain_ticket *ticket, uint32_t written) {
    uint32_t offset =
        RING_OFFSET + USED_ELEMENT_BYTES * (queue->next_used & (queue->config.size - 1));
    uint32_t *element = (uint32_t *)(void *)(queue->used + offset);

    element[0] = ticket->id;
    element[1] = written;
    queue->next_used++;
    __atomic_store_n((uint16_t *)(void *)(queue->used + IDX_OFFSET), queue->next_used,
                     __ATOMIC_RELEASE);
    ring_dirty_used(queue, offset, USED_ELEMENT_BYTES);
    ring_dirty_used(queue, IDX_OFFSET, 2);
}

static void skip_used(struct queue *queue, uint16_t descriptors) {
    (void)descriptors;
    queue->next_used++;
}

static bool published(const struct queue *queue) {
    return used_idx(queue) == (uint16_t)(queue->next_used + 1);
}

/* --- notifications */

static bool interrupt_wanted(struct queue *queue) {
    uint16_t old = queue->used_notified;

    queue->used_notified = queue->next_used;
    if (queue->event_idx)
        return event_passed(used_event(queue), queue->next_used, old);
    return !(load(queue->available) & AVAIL_NO_INTERRUPT);
}

/* With event indices kicks are refused by asking for an index that has passed. */
static void set_kicks(struct queue *queue, bool wanted) {
    uint32_t avail_event = RING_OFFSET + USED_ELEMENT_BYTES * queue->config.size;

    if (!queue->event_idx) {
        store(queue->used, wanted ? 0 : USED_NO_NOTIFY);
        ring_dirty_used(queue, 0, 2);
    } else {
        store(queue->used + avail_event, (uint16_t)(queue->next_avail - !wanted));
        ring_dirty_used(queue, avail_event, 2);
    }
}

const struct ring_operations split_ring = {
    .areas = areas,
    .size_valid = size_valid,
    .set_base = set_base,
    .base = base,
    .avail_position = avail_position,
    .used_position = used_position,
    .has_available = has_available,
    .take = take,
    .publish = publish,
    .skip_used = skip_used,
    .published = published,
    .interrupt_wanted = interrupt_wanted,
    .set_kicks = set_kicks,
};
