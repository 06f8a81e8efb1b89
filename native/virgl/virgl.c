/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl/virgl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "virgl/library.h"
#include "virgl/log.h"

static void write_fence(void *cookie, uint32_t fence) {
    struct virgl *virgl = cookie;
    fence_ring_retire(&virgl->fences, fence);
}

static void write_context_fence(void *cookie, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id) {
    struct virgl *virgl = cookie;
    fence_ring_retire_context(&virgl->fences, ctx_id, ring_idx, fence_id);
}

/* The library owns and closes what this returns, and wants a new one each time. */
static int get_drm_fd(void *cookie) {
    struct virgl *virgl = cookie;
    return virgl->render_node != NULL ? open(virgl->render_node, O_RDWR | O_CLOEXEC) : -1;
}

static int get_server_fd(void *cookie, uint32_t version) {
    (void)cookie;
    (void)version;
    return -1;
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN};

    if (fd >= 0) {
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static int start(struct virgl *virgl, uint32_t flags, char *text) {
    /* Without either the library calls GL callbacks that we do not have. */
    if ((flags & (VIRGL_USE_EGL | VIRGL_USE_GLX)) == 0) {
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
    int error = virgl->api.init(virgl, (int)flags, &virgl->callbacks);
    if (error != 0) {
        snprintf(text, VIRGL_TEXT, "virgl_renderer_init(%#x) failed with %d", flags, error);
        return -ENODEV;
    }
    virgl->poll_fd = virgl->api.get_poll_fd();
    watch(virgl->wake_fd, virgl->poll_fd);
    return 0;
}

struct virgl *virgl_new(uint32_t flags, const char *render_node, char *text) {
    struct virgl *virgl = calloc(1, sizeof(*virgl));
    if (virgl == NULL || fence_ring_init(&virgl->fences) != 0) {
        snprintf(text, VIRGL_TEXT, "out of memory or descriptors");
        free(virgl);
        return NULL;
    }
    virgl->poll_fd = -1;
    virgl->wake_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(virgl->wake_fd, virgl->fences.eventfd);
    virgl->render_node = *render_node != '\0' ? strdup(render_node) : NULL;
    if (virgl_library_open(&virgl->api, text, VIRGL_TEXT) != 0) {
        goto failed;
    }
    if (virgl->api.set_debug_callback != NULL) {
        virgl->api.set_debug_callback(virgl_log);
    }
    if (start(virgl, flags, text) != 0) {
        goto failed;
    }
    return virgl;
failed:
    close(virgl->wake_fd);
    fence_ring_destroy(&virgl->fences);
    free((char *)virgl->render_node);
    free(virgl);
    return NULL;
}

void virgl_free(struct virgl *virgl) {
    /* Ends the thread that calls back, so the fence ring goes after it. */
    virgl->api.cleanup(virgl);
    close(virgl->wake_fd);
    fence_ring_destroy(&virgl->fences);
    free((char *)virgl->render_node);
    free(virgl);
}

int virgl_capset_size(struct virgl *virgl, uint32_t capset_id, uint32_t *max_version) {
    uint32_t size = 0;
    virgl->api.get_cap_set(capset_id, max_version, &size);
    return size != 0 && size <= INT32_MAX ? (int)size : -ENOENT;
}

int virgl_capset_fill(struct virgl *virgl, uint32_t capset_id, uint32_t version, uint8_t *data) {
    uint32_t max_version;
    int size = virgl_capset_size(virgl, capset_id, &max_version);
    if (size < 0) {
        return size;
    }
    /* The library writes nothing at all for a set that it was not started with. */
    memset(data, 0, (size_t)size);
    virgl->api.fill_caps(capset_id, version, data);
    return 0;
}
