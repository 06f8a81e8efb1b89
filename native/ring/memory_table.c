/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/memory_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct memory_table *memory_table_new(void) {
    return calloc(1, sizeof(struct memory_table));
}

void memory_table_free(struct memory_table *table) {
    if (table == NULL)
        return;
    memory_table_clear(table);
    dirty_log_close(&table->log);
    free(table);
}

struct memory_table *memory_table_copy(const struct memory_table *table) {
    struct memory_table *copy = malloc(sizeof(*copy));

    if (copy == NULL)
        return NULL;
    *copy = *table;
    for (uint32_t i = 0; i < copy->count; i++)
        mapping_keep(copy->regions[i].mapping);
    copy->log = dirty_log_keep(&table->log);
    return copy;
}

uint32_t memory_table_search(const struct memory_table *table, uint64_t guest_address) {
    uint32_t low = 0, high = table->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct region *region = &table->regions[middle];
        if (region->guest_address + (region->size - 1) < guest_address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool wraps(uint64_t address, uint64_t size) {
    return address + (size - 1) < address;
}

int memory_table_add(struct memory_table *table, int fd, uint64_t guest_address, uint64_t size,
                     uint64_t user_address, uint64_t mmap_offset) {
    struct region region = {
        .guest_address = guest_address, .size = size, .user_address = user_address};
    uint32_t place;

    if (size == 0 || wraps(guest_address, size) || wraps(user_address, size))
        return -EINVAL;
    place = memory_table_search(table, guest_address);
    if (place < table->count && table->regions[place].guest_address <= guest_address + (size - 1))
        return -EEXIST;
    if (table->count == REGIONS_MAX)
        return -ENOSPC;
    region.mapping = mapping_new(fd, size, mmap_offset);
    if (region.mapping == NULL)
        return -errno;
    memmove(&table->regions[place + 1], &table->regions[place],
            (table->count - place) * sizeof(region));
    table->regions[place] = region;
    table->count++;
    return 0;
}

int memory_table_remove(struct memory_table *table, uint64_t guest_address, uint64_t size,
                        uint64_t user_address) {
    uint32_t place = memory_table_search(table, guest_address);
    struct region *region = &table->regions[place];

    if (place == table->count || region->guest_address != guest_address || region->size != size ||
        region->user_address != user_address)
        return -ENOENT;
    mapping_drop(region->mapping);
    table->count--;
    memmove(region, region + 1, (table->count - place) * sizeof(*region));
    return 0;
}

void memory_table_clear(struct memory_table *table) {
    while (table->count > 0)
        mapping_drop(table->regions[--table->count].mapping);
}

int memory_table_set_log(struct memory_table *table, int fd, uint64_t size, uint64_t offset) {
    if (fd < 0) {
        dirty_log_close(&table->log);
        return 0;
    }
    return dirty_log_open(&table->log, fd, size, offset);
}
