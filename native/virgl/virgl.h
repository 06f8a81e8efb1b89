/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvirglrenderer in this process: started once, used from one thread for life (its GL contexts
 * belong to the thread that made them).  What the guest does with it is texture.h's.
 */
#ifndef VGPUD_VIRGL_H
#define VGPUD_VIRGL_H

#include <stdint.h>

#include "render3d/fences.h"
#include "virgl/api.h"

/* [python] */
struct virgl;
enum { VIRGL_TEXT = 256 };

/* Opens and starts the library; NULL on failure.  `flags`: VIRGL_USE_*.  `render_node`: a path, or
 * empty for none. `text`, of VIRGL_TEXT bytes, gets what was found, or the reason of the failure.
 * The environment must be clean: Mesa reads it. */
struct virgl *virgl_new(uint32_t flags, const char *render_node, char *text);
void virgl_free(struct virgl *);

/* Bytes of a capability set, and its highest version; -ENOENT when the library has it not. */
int virgl_capset_size(struct virgl *, uint32_t capset_id, uint32_t *max_version);
/* Fills `data`, of virgl_capset_size() bytes; slow, so ask once. */
int virgl_capset_fill(struct virgl *, uint32_t capset_id, uint32_t version, uint8_t *data);
/* [end python] */

struct virgl {
    struct virgl_api api;
    struct virgl_callbacks callbacks;
    struct fence_ring fences;
    /* Readable when the library's thread waits for virgl_renderer_poll(): it retires no fence
     * before the results of queries are written, which needs the thread that has the GL contexts.
     */
    int poll_fd;
    int wake_fd; /* an epoll of both: readable when there is something to do about fences */
    const char *render_node;
};

#endif
