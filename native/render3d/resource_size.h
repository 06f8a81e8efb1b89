/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * An estimate of how much host memory a 3D resource takes.  The library allocates whatever a guest
 * asks for (4 GiB for one buffer, which blocks for ten seconds), and reports a failed allocation
 * only at a later command, of any context.
 */
#ifndef VGPUD_RESOURCE_SIZE_H
#define VGPUD_RESOURCE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "render3d/gpu_library.h"

/* [python] */
/* An estimate of its host memory; UINT64_MAX when that cannot be counted. */
uint64_t resource_3d_bytes(const struct resource_3d *resource);
/* [end python] */

/* Width, height or depth of a level. */
static inline uint32_t size_at_level(uint32_t length, uint32_t level) {
    uint32_t shorter = level < 32 ? length >> level : 0;

    return shorter != 0 ? shorter : 1;
}

/* Whether its pixels come in blocks of several. */
bool format_compressed(uint32_t format);

#endif
