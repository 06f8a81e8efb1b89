/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* libvirglrenderer for render3d: each operation is one of its calls, or a few. */
#ifndef VGPUD_VIRGL_OPERATIONS_H
#define VGPUD_VIRGL_OPERATIONS_H

#include "virgl/started.h"

/* The operations for the functions that the library has. */
void virgl_set_operations(struct virgl *virgl);

/* Frees everything but the library's own parts: it was not started, or has ended. */
void virgl_release_parts(struct virgl *virgl);

#endif
