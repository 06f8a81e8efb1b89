/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest memory: the memory table that is in use, and look-ups in it.
 *
 * One thread at a time.  Code that keeps a pointer into guest memory from one call to the next is
 * told of each change of the table, and looks everything up again while the old table is still
 * mapped: see guest_memory_watch().  Such a pointer may be followed only inside fault_guarded()
 * (fault.h): the file behind it may shrink at any time.
 */
#ifndef VGPUD_MEMORY_H
#define VGPUD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/memory_table.h"

/* [python] */
struct guest_memory;

struct guest_memory *guest_memory_new(void); /* without regions; NULL: no memory left */
/* Not while there are watchers. */
void guest_memory_free(struct guest_memory *memory);

/* A copy of the table in use, to change and then use.  NULL: no memory left. */
struct memory_table *guest_memory_table(const struct guest_memory *memory);

/*
 * Takes this table and uses it from now on: all watchers are told, and what only the previous table
 * had is unmapped.  Cannot fail.
 */
void guest_memory_use(struct guest_memory *memory, struct memory_table *table);

/* How much its regions and the log take of the address space. */
uint64_t guest_memory_bytes(const struct guest_memory *memory);

/* Whether VHOST_F_LOG_ALL is negotiated: until then a log is not written. */
void guest_memory_set_logging(struct guest_memory *memory, int enabled);
/* [end python] */

/* Somebody who keeps pointers into guest memory. */
struct memory_watcher {
    /* Looks all of them up again; the old places stay mapped until it returns. */
    void (*changed)(void *argument);
    void *argument;
    struct memory_watcher *next;
};

/* The caller keeps `watcher`, and must not move it. */
void guest_memory_watch(struct guest_memory *memory, struct memory_watcher *watcher);
/* `watcher` need not be watching. */
void guest_memory_unwatch(struct guest_memory *memory, struct memory_watcher *watcher);

/*
 * Where `guest_address` is mapped; `length` becomes the number of bytes that follow there, fewer
 * than asked for when the region ends before.  NULL when no region has that address.
 */
uint8_t *guest_memory_find(struct guest_memory *memory, uint64_t guest_address, uint64_t *length);

/* `length` bytes in one piece, or NULL. */
uint8_t *guest_memory_at(struct guest_memory *memory, uint64_t guest_address, uint64_t length);

/* The guest address that the VMM has mapped at `user_address`; false unless one region holds all of
 * `length` bytes. */
bool guest_memory_from_user(struct guest_memory *memory, uint64_t user_address, uint64_t length,
                            uint64_t *guest_address);

bool guest_memory_logging(const struct guest_memory *memory);

/* Marks what the device wrote (or is about to write) as dirty.  Costs nothing when not logging. */
void guest_memory_dirty(struct guest_memory *memory, uint64_t guest_address, uint64_t length);

#endif
