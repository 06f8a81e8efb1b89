/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Buffers that grow as they are needed. */
#ifndef VGPUD_SCRATCH_H
#define VGPUD_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

/* A buffer of at least `length` bytes, aligned for anything; false: no memory. */
bool scratch_make_room(uint8_t **buffer, uint64_t *room, uint64_t length);

#endif
