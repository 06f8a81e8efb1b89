/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A library that accepts everything and draws nothing: shows what the commands cost without one. */
#ifndef VGPUD_NULL_LIBRARY_H
#define VGPUD_NULL_LIBRARY_H

#include "render3d/gpu_library.h"

/* [python] */
struct gpu_library *null_library_open(void); /* NULL with errno */
/* [end python] */

#endif
