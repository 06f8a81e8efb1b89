/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/memory.h"

#include <stdlib.h>

struct guest_memory {
    struct memory_table *table;
    uint32_t last; /* where the last look-up ended */
    bool logging;
    struct memory_watcher *watchers;
};

struct guest_memory *guest_memory_new(void) {
    struct guest_memory *memory = calloc(1, sizeof(*memory));

    if (memory == NULL)
        return NULL;
    memory->table = memory_table_new();
    if (memory->table != NULL)
        return memory;
    free(memory);
    return NULL;
}

void guest_memory_free(struct guest_memory *memory) {
    if (memory == NULL)
        return;
    memory_table_free(memory->table);
    free(memory);
}

/* ---- changes ---- */

struct memory_table *guest_memory_table(const struct guest_memory *memory) {
    return memory_table_copy(memory->table);
}

void guest_memory_use(struct guest_memory *memory, struct memory_table *table) {
    struct memory_table *before = memory->table;

    memory->table = table;
    for (struct memory_watcher *watcher = memory->watchers; watcher != NULL;
         watcher = watcher->next)
        watcher->changed(watcher->argument);
    memory_table_free(before);
}

uint64_t guest_memory_bytes(const struct guest_memory *memory) {
    const struct memory_table *table = memory->table;
    uint64_t bytes = table->log.size;

    for (uint32_t i = 0; i < table->count; i++)
        bytes += table->regions[i].size;
    return bytes;
}

void guest_memory_watch(struct guest_memory *memory, struct memory_watcher *watcher) {
    watcher->next = memory->watchers;
    memory->watchers = watcher;
}

void guest_memory_unwatch(struct guest_memory *memory, struct memory_watcher *watcher) {
    struct memory_watcher **link = &memory->watchers;

    while (*link != NULL && *link != watcher)
        link = &(*link)->next;
    if (*link != NULL)
        *link = watcher->next;
}

void guest_memory_set_logging(struct guest_memory *memory, int enabled) {
    memory->logging = enabled;
}

/* ---- look-ups ---- */

static bool region_holds(const struct region *region, uint64_t guest_address) {
    return guest_address - region->guest_address < region->size;
}

uint8_t *guest_memory_find(struct guest_memory *memory, uint64_t guest_address, uint64_t *length) {
    const struct memory_table *table = memory->table;
    const struct region *region;
    uint64_t offset;

    if (memory->last >= table->count || !region_holds(&table->regions[memory->last], guest_address))
        memory->last = memory_table_search(table, guest_address);
    if (memory->last == table->count)
        return NULL;
    region = &table->regions[memory->last];
    offset = guest_address - region->guest_address;
    if (offset >= region->size)
        return NULL;
    if (*length > region->size - offset)
        *length = region->size - offset;
    return region->mapping->bytes + offset;
}

uint8_t *guest_memory_at(struct guest_memory *memory, uint64_t guest_address, uint64_t length) {
    uint64_t there = length;
    uint8_t *bytes = guest_memory_find(memory, guest_address, &there);

    return there == length ? bytes : NULL;
}

bool guest_memory_from_user(struct guest_memory *memory, uint64_t user_address, uint64_t length,
                            uint64_t *guest_address) {
    const struct memory_table *table = memory->table;

    for (uint32_t i = 0; i < table->count; i++) {
        const struct region *region = &table->regions[i];
        uint64_t offset = user_address - region->user_address;
        if (offset < region->size && length <= region->size - offset) {
            *guest_address = region->guest_address + offset;
            return true;
        }
    }
    return false;
}

/* ---- the dirty log ---- */

bool guest_memory_logging(const struct guest_memory *memory) {
    return memory->logging && memory->table->log.bits != NULL;
}

void guest_memory_dirty(struct guest_memory *memory, uint64_t guest_address, uint64_t length) {
    if (guest_memory_logging(memory))
        dirty_log_mark(&memory->table->log, guest_address, length);
}
