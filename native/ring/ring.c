/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/ring.h"

#include <errno.h>

const uint8_t *ring_indirect_table(struct queue *queue, const struct descriptor *descriptor,
                                   uint32_t *count, int *error) {
    const uint8_t *table;

    *error = -EBADMSG;
    if (!queue->indirect || descriptor->length == 0 || descriptor->length % DESCRIPTOR_BYTES != 0)
        return NULL;
    *count = descriptor->length / DESCRIPTOR_BYTES;
    *error = -ELOOP;
    if (*count > CHAIN_PIECES)
        return NULL;
    table = guest_memory_at(queue->memory, descriptor->address, descriptor->length);
    *error = table == NULL ? -EFAULT : 0;
    return table;
}

void ring_dirty_used(struct queue *queue, uint64_t offset, uint64_t length) {
    if (!guest_memory_logging(queue->memory))
        return;
    guest_memory_dirty(queue->memory, queue->used_guest + offset, length);
    if (queue->config.log_used)
        guest_memory_dirty(queue->memory, queue->config.log_address + offset, length);
}

void ring_dirty_descriptor(struct queue *queue, uint64_t offset, uint64_t length) {
    guest_memory_dirty(queue->memory, queue->descriptor_guest + offset, length);
}
