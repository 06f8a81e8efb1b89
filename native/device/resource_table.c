/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/resource_table.h"

#include <stdlib.h>

enum { FIRST_BITS = 6, MOST_BITS = 24 };

/* Fibonacci hashing: ids in a row, as drivers give them, never collide. */
static struct resource **bucket(const struct resource_table *table, uint32_t resource_id) {
    return &table->buckets[resource_id * 0x9e3779b1u >> (32 - table->bits)];
}

bool resource_table_init(struct resource_table *table) {
    *table = (struct resource_table){.bits = FIRST_BITS};
    table->buckets = calloc((size_t)1 << FIRST_BITS, sizeof(*table->buckets));
    return table->buckets != NULL;
}

void resource_table_destroy(struct resource_table *table) {
    free(table->buckets);
    table->buckets = NULL;
}

struct resource *resource_table_find(struct resource_table *table, uint32_t resource_id) {
    struct resource *resource = table->last;

    if (resource != NULL && resource->resource_id == resource_id)
        return resource;
    resource = *bucket(table, resource_id);
    while (resource != NULL && resource->resource_id != resource_id)
        resource = resource->next;
    if (resource != NULL)
        table->last = resource;
    return resource;
}

static void link_resource(struct resource_table *table, struct resource *resource) {
    struct resource **first = bucket(table, resource->resource_id);

    resource->next = *first;
    *first = resource;
}

static void relink(struct resource *resource, void *argument) {
    link_resource(argument, resource);
}

static void grow(struct resource_table *table) {
    struct resource_table larger = {.bits = table->bits + 1};

    if (table->bits == MOST_BITS)
        return;
    larger.buckets = calloc((size_t)1 << larger.bits, sizeof(*larger.buckets));
    if (larger.buckets == NULL) /* then the chains only get longer */
        return;
    resource_table_each(table, relink, &larger);
    free(table->buckets);
    table->buckets = larger.buckets;
    table->bits = larger.bits;
}

void resource_table_insert(struct resource_table *table, struct resource *resource) {
    if (table->count >> table->bits > 0)
        grow(table);
    link_resource(table, resource);
    table->count++;
}

void resource_table_remove(struct resource_table *table, struct resource *resource) {
    struct resource **link = bucket(table, resource->resource_id);

    while (*link != resource)
        link = &(*link)->next;
    *link = resource->next;
    table->count--;
    if (table->last == resource)
        table->last = NULL;
}

void resource_table_each(struct resource_table *table,
                         void (*visit)(struct resource *resource, void *argument), void *argument) {
    for (size_t i = 0; i < (size_t)1 << table->bits; i++) {
        struct resource *resource = table->buckets[i];
        while (resource != NULL) {
            struct resource *next = resource->next;
            visit(resource, argument);
            resource = next;
        }
    }
}
