/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The rings over memory that the fuzzer has written, and goes on writing between two looks: nothing
 * is read or written outside guest memory, every walk ends, and what is taken can be given back.
 */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum { STEPS = 64, HELD = 8 };

/* Some bytes of guest memory change, most of them where the rings are. */
static void scribble(struct machine *machine, struct input *input) {
    uint32_t offset = input_u32(input) % (REGION_BYTES - 64);
    uint8_t length = input_u8(input) % 64;

    if (offset & 1)
        offset = RING_AT + offset % 0x3000;
    input_copy(input, machine->bytes + offset, length);
}

static void use(struct queue *queue, struct machine *machine, const struct chain *chain) {
    uint8_t bytes[4096];
    uint64_t length = chain_read(chain, 0, bytes, sizeof(bytes));

    if (length > chain->readable_bytes)
        abort();
    chain_read(chain, chain->readable_bytes / 2, bytes, sizeof(bytes));
    memset(bytes, 0, sizeof(bytes));
    if (chain_write(chain, machine->memory, bytes, sizeof(bytes)) > chain->writable_bytes)
        abort();
    (void)queue;
}

static void work(struct queue *queue, struct machine *machine, struct input *input) {
    static struct chain chain;
    struct chain_ticket held[HELD];
    unsigned count = 0;

    for (int step = 0; step < STEPS && input->left > 0; step++) {
        int popped;
        scribble(machine, input);
        popped = queue_pop(queue, &chain);
        if (popped < 0)
            break;
        if (popped > 0) {
            use(queue, machine, &chain);
            if (count < HELD)
                held[count++] = chain.ticket;
            else
                queue_push(queue, &chain, (uint32_t)chain.writable_bytes);
        }
        if (step % 4 == 3 && count > 0)
            queue_give_back(queue, &held[--count], input_u8(input));
        queue_notify(queue);
        if (step & 1)
            queue_want_kicks(queue);
        else
            queue_refuse_kicks(queue);
    }
    while (count > 0)
        queue_give_back(queue, &held[--count], 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct queue queue;
    struct machine *machine = machine_get();
    struct input input = {.bytes = bytes, .left = size};
    struct virtqueue_config config = machine_queue(&input);
    uint32_t base = input_u8(&input) & 1 ? 0x80008000 : input_u32(&input);

    machine_clear(machine);
    input_copy(&input, machine->bytes + RING_AT, input_u8(&input) * 16u);
    queue_init(&queue);
    if (queue_start(&queue, machine->memory, &config, base, &machine->state->queues[0]) < 0)
        return 0;
    work(&queue, machine, &input);
    queue_stop(&queue);
    queue_init(&queue);
    if (queue_recover(&queue, machine->memory, &config, &machine->state->queues[0]) == 0)
        queue_stop(&queue);
    return 0;
}
