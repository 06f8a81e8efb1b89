/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the virglrenderer mode does without Python (renderer.h). */
#ifndef VGPUD_VIRGL_RENDERER_H
#define VGPUD_VIRGL_RENDERER_H

#include "device/device.h"

extern const struct command VIRGL_COMMANDS[];
extern const struct renderer_hooks VIRGL_HOOKS;

#endif
