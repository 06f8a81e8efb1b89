/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Memory shared between the session and a device process: memfds sealed against shrinking and
 * growing, so that no reader can be made to fault by the other side.
 */
#ifndef VGPUD_SEALED_H
#define VGPUD_SEALED_H

#include <stdint.h>

/* A descriptor of `size` zero bytes, or -errno. */
int sealed_memory_create(const char *name, uint64_t size);

/* 0 when the file has this size and the seals that keep it; -EINVAL otherwise. */
int sealed_memory_check(int fd, uint64_t size);

#endif
