/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The renderers' tables: what each does without Python. */
#ifndef VGPUD_RENDERER_H
#define VGPUD_RENDERER_H

#include "device/device.h"

/* NULL: no such renderer. */
const struct renderer *renderer_find(int renderer);

const struct command *renderer_command(const struct renderer *renderer, uint32_t type);

#endif
