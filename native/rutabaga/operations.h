/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* librutabaga_gfx_ffi for render3d: each operation is one of its calls, or a few. */
#ifndef VGPUD_RUTABAGA_OPERATIONS_H
#define VGPUD_RUTABAGA_OPERATIONS_H

#include "rutabaga/started.h"

/* The operations that it has as it was started. */
void rutabaga_set_operations(struct rutabaga_started *started);

#endif
