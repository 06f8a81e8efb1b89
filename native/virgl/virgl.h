/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvirglrenderer in this process: started once, used from one thread for life (its GL contexts
 * belong to the thread that made them).
 */
#ifndef VGPUD_VIRGL_H
#define VGPUD_VIRGL_H

#include <stdint.h>

#include "render3d/gpu_library.h"

/* [python] */
enum { VIRGL_TEXT = 256 };

/* Opens and starts the library; NULL on failure.  `flags`: VIRGL_USE_*, and with the socket
 * `server` of a render server, which the library takes over, VIRGL_VENUS.  `render_node`: a path,
 * or
 * empty for none.  `text`, of VIRGL_TEXT bytes, gets what was found, or the reason of the failure.
 * The environment must be clean: Mesa reads it. */
struct gpu_library *virgl_open(uint32_t flags, const char *render_node, int server, char *text);
/* [end python] */

#endif
