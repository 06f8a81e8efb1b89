/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl/virgl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "virgl/library.h"
#include "virgl/log.h"
#include "virgl/operations.h"
#include "virgl/started.h"

/* --- what the library calls, also from its own threads; `cookie`: struct virgl */

static void write_fence(void *cookie, uint32_t fence) {
    struct virgl *virgl = cookie;

    fence_ring_retire(&virgl->library.fences, fence);
}

static void write_context_fence(void *cookie, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id) {
    struct virgl *virgl = cookie;

    fence_ring_retire_context(&virgl->library.fences, ctx_id, ring_idx, fence_id);
}

/* The library owns and closes what this returns, and wants a new one each time. */
static int get_drm_fd(void *cookie) {
    struct virgl *virgl = cookie;

    return virgl->render_node != NULL ? open(virgl->render_node, O_RDWR | O_CLOEXEC) : -1;
}

/* The socket of the server that was started for us: this process may not start one. */
static int get_server_fd(void *cookie, uint32_t version) {
    struct virgl *virgl = cookie;
    int server = virgl->server;

    (void)version;
    virgl->server = -1;
    return server;
}

/* --- starting it */

static int start(struct virgl *virgl, uint32_t flags, char *text) {
    int error;

    /* Without one of these flags the library calls GL callbacks that we do not have. */
    if ((flags & (VIRGL_USE_EGL | VIRGL_USE_GLX | VIRGL_NO_VIRGL)) == 0) {
        snprintf(text, VIRGL_TEXT, "it needs EGL or GLX to draw with");
        return -EINVAL;
    }
    virgl->callbacks = (struct virgl_callbacks){
        .version = VIRGL_CALLBACKS_VERSION,
        .write_fence = write_fence,
        .get_drm_fd = get_drm_fd,
        .write_context_fence = write_context_fence,
        .get_server_fd = get_server_fd,
    };
    flags |= VIRGL_THREAD_SYNC | VIRGL_ASYNC_FENCE_CB;
    error = virgl->api.init(virgl, (int)flags, &virgl->callbacks);
    if (error != 0) {
        snprintf(text, VIRGL_TEXT, "virgl_renderer_init(%#x) failed with %d", flags, error);
        return -ENODEV;
    }
    /* The library retires no fence before the results of queries are written, and that needs
     * virgl_renderer_poll() in the thread that has the GL contexts. */
    virgl->library.poll_fd = virgl->api.get_poll_fd();
    return 0;
}

static int open_and_start(struct virgl *virgl, uint32_t flags, char *text) {
    int error = virgl_library_open(&virgl->api, text, VIRGL_TEXT);

    if (error < 0)
        return error;
    virgl_set_operations(virgl);
    if (virgl->api.set_debug_callback != NULL)
        virgl->api.set_debug_callback(virgl_log);
    return start(virgl, flags, text);
}

static struct virgl *make(const char *render_node, int server) {
    struct virgl *virgl = calloc(1, sizeof(*virgl));

    if (virgl == NULL || fence_ring_init(&virgl->library.fences) != 0) {
        free(virgl);
        return NULL;
    }
    virgl->library.poll_fd = -1;
    virgl->server = server;
    virgl->render_node = *render_node != '\0' ? strdup(render_node) : NULL;
    return virgl;
}

struct gpu_library *virgl_open(uint32_t flags, const char *render_node, int server, char *text) {
    struct virgl *virgl = make(render_node, server);

    if (virgl == NULL) {
        snprintf(text, VIRGL_TEXT, "out of memory or descriptors");
        return NULL;
    }
    if (open_and_start(virgl, flags, text) < 0) {
        virgl_release_parts(virgl);
        return NULL;
    }
    return &virgl->library;
}
