/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * How much host memory a 3D resource takes, estimated.  The library allocates whatever a guest asks
 * for (4 GiB for one buffer, and it blocks for ten seconds), and a failed allocation is reported
 * with a later command of anyone's.
 */
#ifndef VGPUD_VIRGL_SIZE_H
#define VGPUD_VIRGL_SIZE_H

#include <stdbool.h>

#include "virgl/api.h"

/* Width, height or depth of a level. */
static inline uint32_t virgl_at_level(uint32_t length, uint32_t level) {
    uint32_t shorter = level < 32 ? length >> level : 0;

    return shorter != 0 ? shorter : 1;
}

/* Whether its pixels come in blocks of several. */
bool virgl_format_compressed(uint32_t format);

/* Bytes; UINT64_MAX when they cannot be counted. */
uint64_t virgl_resource_bytes(const struct virgl_resource_create_args *args);

#endif
