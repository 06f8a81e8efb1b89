/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What librutabaga_gfx_ffi is to render3d: each operation is a call of its, or a few. */
#ifndef VGPUD_RUTABAGA_OPERATIONS_H
#define VGPUD_RUTABAGA_OPERATIONS_H

#include "rutabaga/started.h"

/* Of what it was started with. */
void rutabaga_set_operations(struct rutabaga_started *started);

#endif
