/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Stands in for libvirglrenderer.so.1, and lets each fence of a context pass some time later: on a
 * thread of its own, which has all signals blocked as Mesa's threads have.  All else is the real
 * library's, which this one is linked to.
 *
 * Compiled with MICROSECONDS, the longest time; ONE_TIME: each takes that long.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

struct callbacks {
    int version;
    void *others[5];
    void (*write_context_fence)(void *cookie, uint32_t ctx_id, uint32_t ring_idx,
                                uint64_t fence_id);
};

struct fence {
    uint32_t ctx_id, ring_idx;
    uint64_t fence_id;
    useconds_t time;
};

static void *owner;
static const struct callbacks *to_call;

/* The allocation that vgpud looks for in a library. */
void *virgl_stand_in_memory(size_t bytes);
void *virgl_stand_in_memory(size_t bytes) {
    return malloc(bytes);
}

int virgl_renderer_init(void *cookie, int flags, struct callbacks *callbacks);
int virgl_renderer_init(void *cookie, int flags, struct callbacks *callbacks) {
    int (*real)(void *, int, struct callbacks *) = dlsym(RTLD_NEXT, "virgl_renderer_init");

    owner = cookie;
    to_call = callbacks;
    return real(cookie, flags, callbacks);
}

static void *pass(void *argument) {
    struct fence fence = *(struct fence *)argument;

    free(argument);
    usleep(fence.time);
    to_call->write_context_fence(owner, fence.ctx_id, fence.ring_idx, fence.fence_id);
    return NULL;
}

int virgl_renderer_context_create_fence(uint32_t ctx_id, uint32_t flags, uint32_t ring_idx,
                                        uint64_t fence_id);
int virgl_renderer_context_create_fence(uint32_t ctx_id, uint32_t flags, uint32_t ring_idx,
                                        uint64_t fence_id) {
    struct fence *fence = malloc(sizeof(*fence));
    sigset_t all, before;
    pthread_t thread;
    int error;

    (void)flags;
#ifdef ONE_TIME
    *fence = (struct fence){ctx_id, ring_idx, fence_id, MICROSECONDS};
#else
    *fence = (struct fence){ctx_id, ring_idx, fence_id, (useconds_t)rand() % MICROSECONDS};
#endif
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, NULL, pass, fence);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0 ? pthread_detach(thread) : -error;
}
