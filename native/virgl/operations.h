/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What libvirglrenderer is to render3d: each operation is a call of its, or a few. */
#ifndef VGPUD_VIRGL_OPERATIONS_H
#define VGPUD_VIRGL_OPERATIONS_H

#include "virgl/started.h"

/* Of what the library turned out to have. */
void virgl_set_operations(struct virgl *virgl);

/* All but the library's own: of one that is not started, or not any more. */
void virgl_release_parts(struct virgl *virgl);

#endif
