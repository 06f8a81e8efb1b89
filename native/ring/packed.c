/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The packed virtqueue, VIRTIO 1.2, 2.8. */
#include "ring/packed.h"

#include <errno.h>

enum { DESCRIPTOR_AVAIL = 1 << 7, DESCRIPTOR_USED = 1 << 15 };
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };
enum { EVENT_BYTES = 4, LENGTH_OFFSET = 8, ID_OFFSET = 12, FLAGS_OFFSET = 14 };
enum { WRAP = 1 << 15 };

static struct ring_areas areas(uint32_t size) {
    return (struct ring_areas){.descriptor = (uint64_t)size * DESCRIPTOR_BYTES,
                               .available = EVENT_BYTES,
                               .used = EVENT_BYTES,
                               .available_alignment = 4};
}

/* Any size up to 32768, not only powers of two (2.8.10.1). */
static bool size_valid(uint32_t size) {
    (void)size;
    return true;
}

/* --- positions */

static uint16_t position(uint16_t place, bool wrap) {
    return (uint16_t)(place | (wrap ? WRAP : 0));
}

static uint16_t avail_position(const struct queue *queue) {
    return position(queue->next_avail, queue->avail_wrap);
}

static uint16_t used_position(const struct queue *queue) {
    return position(queue->next_used, queue->used_wrap);
}

static int set_base(struct queue *queue, uint32_t base) {
    uint16_t avail = base & 0x7fff, used = (base >> 16) & 0x7fff;

    if (avail >= queue->config.size || used >= queue->config.size)
        return -EINVAL;
    queue->next_avail = avail;
    queue->avail_wrap = base & WRAP;
    queue->next_used = used;
    queue->used_wrap = (base >> 16) & WRAP;
    return 0;
}

static uint32_t base(const struct queue *queue) {
    return avail_position(queue) | (uint32_t)used_position(queue) << 16;
}

/* Forwards by `count` places, at most once around the ring. */
static void advance(const struct queue *queue, uint16_t *place, bool *wrap, uint16_t count) {
    uint32_t next = (uint32_t)*place + count;

    if (next >= queue->config.size) {
        next -= queue->config.size;
        *wrap = !*wrap;
    }
    *place = (uint16_t)next;
}

static uint8_t *at_place(const struct queue *queue, uint16_t place) {
    return queue->descriptor + (size_t)place * DESCRIPTOR_BYTES;
}

static uint16_t flags_at(const struct queue *queue, uint16_t place) {
    return __atomic_load_n((const uint16_t *)(const void *)(at_place(queue, place) + FLAGS_OFFSET),
                           __ATOMIC_ACQUIRE);
}

/* --- available */

static bool has_available(struct queue *queue) {
    uint16_t flags = flags_at(queue, queue->next_avail);

    return !!(flags & DESCRIPTOR_AVAIL) == queue->avail_wrap &&
           !!(flags & DESCRIPTOR_USED) != queue->avail_wrap;
}

/* A packed indirect table is read from its first to its last descriptor: no flag but WRITE counts
 * (2.8.7). */
static int add_indirect(struct queue *queue, struct chain *chain,
                        const struct descriptor *descriptor) {
    int error;
    uint32_t count;
    const uint8_t *table = ring_indirect_table(queue, descriptor, &count, &error);

    if (table == NULL)
        return error;
    for (uint32_t i = 0; i < count && error == 0; i++) {
        struct descriptor entry = descriptor_fetch(table + (size_t)i * DESCRIPTOR_BYTES);
        if (entry.fourth & DESCRIPTOR_INDIRECT)
            return -EBADMSG;
        error = chain_add(chain, queue->memory, entry.address, entry.length,
                          entry.fourth & DESCRIPTOR_WRITE);
    }
    return error;
}

static int add_descriptor(struct queue *queue, struct chain *chain,
                          const struct descriptor *descriptor) {
    if (!(descriptor->fourth & DESCRIPTOR_INDIRECT))
        return chain_add(chain, queue->memory, descriptor->address, descriptor->length,
                         descriptor->fourth & DESCRIPTOR_WRITE);
    if (descriptor->fourth & DESCRIPTOR_NEXT)
        return -EBADMSG;
    return add_indirect(queue, chain, descriptor);
}

static int take(struct queue *queue, struct chain *chain) {
    if (!has_available(queue))
        return 0;
    for (uint16_t steps = 1; steps <= queue->config.size; steps++) {
        struct descriptor descriptor = descriptor_fetch(at_place(queue, queue->next_avail));
        int error = add_descriptor(queue, chain, &descriptor);
        if (error < 0)
            return error;
        advance(queue, &queue->next_avail, &queue->avail_wrap, 1);
        if (descriptor.fourth & DESCRIPTOR_NEXT)
            continue;
        /* The last descriptor of the chain has its id (2.8.6). */
        chain->ticket.id = descriptor.third;
        chain->ticket.descriptors = steps;
        return 1;
    }
    return -ELOOP;
}

/* --- used */

static void publish(struct queue *queue, const struct chain_ticket *ticket, uint32_t written) {
    uint8_t *at = at_place(queue, queue->next_used);
    uint64_t offset = (uint64_t)(at - queue->descriptor);
    uint16_t flags = queue->used_wrap ? DESCRIPTOR_AVAIL | DESCRIPTOR_USED : 0;

    if (written > 0)
        flags |= DESCRIPTOR_WRITE;
    *(uint32_t *)(void *)(at + LENGTH_OFFSET) = written;
    *(uint16_t *)(void *)(at + ID_OFFSET) = ticket->id;
    __atomic_store_n((uint16_t *)(void *)(at + FLAGS_OFFSET), flags, __ATOMIC_RELEASE);
    advance(queue, &queue->next_used, &queue->used_wrap, ticket->descriptors);
    ring_dirty_descriptor(queue, offset, DESCRIPTOR_BYTES);
}

static void skip_used(struct queue *queue, uint16_t descriptors) {
    advance(queue, &queue->next_used, &queue->used_wrap, descriptors);
}

static bool published(const struct queue *queue) {
    uint16_t flags = flags_at(queue, queue->next_used);

    return !!(flags & DESCRIPTOR_AVAIL) == queue->used_wrap &&
           !!(flags & DESCRIPTOR_USED) == queue->used_wrap;
}

/* --- notifications: an event is a position, then flags (2.8.14) */

static bool interrupt_wanted(struct queue *queue) {
    uint32_t event =
        __atomic_load_n((const uint32_t *)(const void *)queue->available, __ATOMIC_RELAXED);
    uint16_t place = event & 0x7fff, flags = (event >> 16) & 3;
    bool wrap = event & WRAP;

    if (flags != EVENT_DESC || !queue->event_idx)
        return flags != EVENT_DISABLE;
    if (queue->pushed >= queue->config.size)
        return true;
    if (wrap != queue->used_wrap)
        place = (uint16_t)(place - queue->config.size);
    return event_passed(place, queue->next_used, (uint16_t)(queue->next_used - queue->pushed));
}

static void set_kicks(struct queue *queue, bool wanted) {
    uint32_t event = EVENT_DISABLE << 16;

    if (wanted && queue->event_idx)
        event = (uint32_t)EVENT_DESC << 16 | avail_position(queue);
    else if (wanted)
        event = EVENT_ENABLE << 16;
    __atomic_store_n((uint32_t *)(void *)queue->used, event, __ATOMIC_RELAXED);
    ring_dirty_used(queue, 0, EVENT_BYTES);
}

const struct ring_operations packed_ring = {
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
