/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE
#include "machine.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { INDIRECT_DESC = 28, EVENT_IDX = 29, PACKED = 34, GUARD_BYTES = 1 << 16 };

static void require(int worked) {
    if (!worked)
        abort();
}

static void guard(void) {
    require(mmap(NULL, GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static void add_region(struct memory_table *table, int fd, uint64_t guest_address,
                       uint64_t offset) {
    guard();
    require(memory_table_add(table, fd, guest_address, REGION_BYTES, guest_address, offset) == 0);
    guard();
}

struct machine *machine_get(void) {
    static struct machine machine;
    int fd, state_fd;

    if (machine.memory != NULL)
        return &machine;
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(ftruncate(fd, 3 * REGION_BYTES) == 0);
    machine.memory = guest_memory_new();
    require(machine.memory != NULL);
    machine.whole = memory_table_new();
    require(machine.whole != NULL);
    add_region(machine.whole, fd, 0, 0);
    add_region(machine.whole, fd, REGION_BYTES, REGION_BYTES);
    add_region(machine.whole, fd, FAR_AT, 2 * REGION_BYTES);
    machine.bytes = mmap(NULL, 3 * REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    require(machine.bytes != MAP_FAILED);
    state_fd = session_state_create();
    machine.state = session_state_map(state_fd);
    require(machine.state != NULL);
    close(state_fd);
    close(fd);
    return &machine;
}

static void use_whole(struct machine *machine) {
    struct memory_table *table = memory_table_copy(machine->whole);

    require(table != NULL);
    guest_memory_use(machine->memory, table);
}

void machine_lose_region(struct machine *machine, uint64_t guest_address) {
    struct memory_table *table = guest_memory_table(machine->memory);

    require(table != NULL);
    memory_table_remove(table, guest_address, REGION_BYTES, guest_address);
    guest_memory_use(machine->memory, table);
}

void machine_clear(struct machine *machine) {
    use_whole(machine);
    memset(machine->bytes, 0, 3 * REGION_BYTES);
}

struct virtqueue_config machine_queue(struct input *input) {
    static const uint8_t SIZES[] = {1, 2, 4, 8, 64, 128, 3, 5};
    uint8_t kind = input_u8(input);
    struct virtqueue_config config = {.size = SIZES[kind % 8],
                                      .descriptor = DESCRIPTOR_AT,
                                      .available = AVAILABLE_AT,
                                      .used = USED_AT,
                                      .gpa_addresses = 1};

    if (kind & 8)
        config.features |= 1ull << PACKED;
    if (kind & 16)
        config.features |= 1ull << EVENT_IDX;
    if (kind & 32)
        config.features |= 1ull << INDIRECT_DESC;
    return config;
}
