/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/chain.h"

#include <errno.h>
#include <string.h>

void chain_clear(struct chain *chain) {
    chain->ticket = (struct chain_ticket){0};
    chain->readable = chain->writable = 0;
    chain->readable_bytes = chain->writable_bytes = 0;
}

static int add_piece(struct chain *chain, struct guest_memory *memory, uint64_t guest_address,
                     uint64_t *length, bool writable) {
    uint32_t count = (uint32_t)chain->readable + chain->writable;
    uint8_t *bytes = guest_memory_find(memory, guest_address, length);

    if (bytes == NULL)
        return -EFAULT;
    if (count == CHAIN_PIECES)
        return -ELOOP;
    chain->pieces[count] = (struct chain_piece){
        .bytes = bytes, .guest_address = guest_address, .length = (uint32_t)*length};
    if (writable)
        chain->writable++;
    else
        chain->readable++;
    return 0;
}

int chain_add(struct chain *chain, struct guest_memory *memory, uint64_t guest_address,
              uint32_t length, bool writable) {
    uint64_t left = length;

    if (!writable && chain->writable > 0)
        return -EPROTO;
    /* More than one piece when the buffer crosses the border of two regions. */
    while (left > 0) {
        uint64_t there = left;
        int error = add_piece(chain, memory, guest_address, &there, writable);
        if (error < 0)
            return error;
        guest_address += there;
        left -= there;
    }
    if (writable)
        chain->writable_bytes += length;
    else
        chain->readable_bytes += length;
    return 0;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t chain_read(const struct chain *chain, uint64_t offset, void *to, uint64_t length) {
    uint64_t done = 0;

    for (uint32_t i = 0; i < chain->readable && done < length; i++) {
        const struct chain_piece *piece = &chain->pieces[i];
        uint64_t count;
        if (offset >= piece->length) {
            offset -= piece->length;
            continue;
        }
        count = smaller(piece->length - offset, length - done);
        memcpy((uint8_t *)to + done, piece->bytes + offset, count);
        done += count;
        offset = 0;
    }
    return done;
}

uint32_t chain_write(const struct chain *chain, struct guest_memory *memory, const void *from,
                     uint32_t length) {
    const struct chain_piece *piece = &chain->pieces[chain->readable];
    uint32_t done = 0;

    for (uint32_t i = 0; i < chain->writable && done < length; i++, piece++) {
        uint32_t count = (uint32_t)smaller(piece->length, length - done);
        memcpy(piece->bytes, (const uint8_t *)from + done, count);
        guest_memory_dirty(memory, piece->guest_address, count);
        done += count;
    }
    return done;
}
