/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A descriptor chain, taken from a ring and checked: pieces of mapped guest memory, first those
 * that the device reads, then those that it writes.
 */
#ifndef VGPUD_CHAIN_H
#define VGPUD_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/memory.h"

/* As many as QEMU allows (VIRTQUEUE_MAX_SIZE); an indirect table may be longer than its ring. */
enum { CHAIN_PIECES = 1024 };

struct chain_piece {
    uint8_t *bytes;
    uint64_t guest_address;
    uint32_t length;
};

/* What is needed to give a chain back. */
struct chain_ticket {
    uint16_t id;          /* head of a split ring, buffer id of a packed one */
    uint16_t descriptors; /* places in the ring */
    uint16_t entry;       /* of the session state's chains */
};

struct chain {
    struct chain_ticket ticket;
    uint16_t readable, writable; /* numbers of pieces */
    uint64_t readable_bytes, writable_bytes;
    struct chain_piece pieces[CHAIN_PIECES]; /* only readable + writable of them are set */
};

void chain_clear(struct chain *chain);

/* Appends a descriptor's buffer; -EFAULT: not in guest memory; -EPROTO: readable after writable;
 * -ELOOP: too many. */
int chain_add(struct chain *chain, struct guest_memory *memory, uint64_t guest_address,
              uint32_t length, bool writable);

/* Copies from the readable part; returns the number of bytes, fewer when it ends before. */
uint64_t chain_read(const struct chain *chain, uint64_t offset, void *to, uint64_t length);

/* Copies to the beginning of the writable part and marks it dirty; returns the number of bytes. */
uint32_t chain_write(const struct chain *chain, struct guest_memory *memory, const void *from,
                     uint32_t length);

#endif
