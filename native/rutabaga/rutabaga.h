/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * librutabaga_gfx_ffi in this process: started once, used from one thread for life.
 */
#ifndef VGPUD_RUTABAGA_H
#define VGPUD_RUTABAGA_H

#include <stdint.h>

#include "render3d/gpu_library.h"

/* [python] */
enum { RUTABAGA_TEXT = 256 };

/* Opens and starts the library; NULL on failure.  `capset_mask`: a bit for each capability set's
 * number, none for only 2D.  `wayland`: the socket of a compositor, or empty for none. `features`:
 * NAME:enabled, separated by colons, or empty; a release that knows none ignores them.  `text`, of
 * RUTABAGA_TEXT bytes, gets what was found, or the reason of the failure.  A set that was asked for
 * may be missing afterwards. */
struct gpu_library *rutabaga_open(uint64_t capset_mask, const char *wayland, const char *features,
                                  char *text);
/* Whether host memory is made as files that others can map, which is what `features` asked for. */
int rutabaga_makes_files(const struct gpu_library *library);
/* [end python] */

#endif
