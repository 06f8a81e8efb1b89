/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Client memory that is no region of the device's memory table, whose slots are few: the device has
 * a copy in the guest's own memory, which goes over before each command that may read it and comes
 * back when one has written it.
 *
 * That is right for buffers of vertices, indices and constants alone: the device writes to the
 * memory of these only when TRANSFER_FROM_HOST_3D names them.
 */
#ifndef VTEST_MIRROR_H
#define VTEST_MIRROR_H

#include <stdint.h>

enum { MIRRORS = 2048 };

struct mirror {
    uint32_t handle;
    uint32_t bytes;
    uint8_t *client; /* the mapped descriptor */
    uint8_t *guest;
    int written; /* the device's copy is the newer one */
};

struct mirrors {
    uint32_t count;
    struct mirror all[MIRRORS];
};

/* 0 or -errno; the descriptor stays the caller's. */
int mirrors_add(struct mirrors *mirrors, uint32_t handle, int fd, uint8_t *guest, uint32_t bytes);
void mirrors_remove(struct mirrors *mirrors, uint32_t handle);
void mirrors_clear(struct mirrors *mirrors);

/* To the device, before a command. */
void mirrors_push(struct mirrors *mirrors);
/* TRANSFER_FROM_HOST_3D was sent. */
void mirrors_written(struct mirrors *mirrors, uint32_t handle);
/* To the client, when nothing is in flight. */
void mirrors_pull(struct mirrors *mirrors);

#endif
