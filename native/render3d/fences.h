/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Fences on their way from the library's own threads to the thread that runs the queue.
 *
 * The library calls back when the GPU has passed a fence, on a thread of its own, and sometimes
 * before the call that created the fence has returned.  The fence is kept here, and the queue's
 * thread is woken by an eventfd to take it.  While that thread sleeps, what it would do is done by
 * the library's thread itself, and the guest does not wait for a thread to wake up.
 */
#ifndef VGPUD_FENCES_H
#define VGPUD_FENCES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Fences of one ring of one context that were passed: all up to and including fence_id. */
struct retired_fence {
    uint32_t ctx_id;
    uint32_t ring_idx;
    uint64_t fence_id;
};

struct fence_ring {
    int eventfd;
    /* Of the global timeline: the library has 32 bits for its fences, and a later one implies the
     * earlier ones. */
    _Atomic uint32_t retired;
    pthread_mutex_t lock; /* of what follows: several contexts can call back at the same time */
    struct retired_fence *entries;
    uint32_t count, capacity;

    _Atomic bool woken;        /* the eventfd was written, or will be, since fences were taken */
    pthread_mutex_t answering; /* held during a call of: */
    bool (*answer)(void *argument);
    void *argument;
};

/* 0 or -errno. */
int fence_ring_init(struct fence_ring *);
void fence_ring_destroy(struct fence_ring *);

/* From any thread. */
void fence_ring_retire(struct fence_ring *, uint32_t fence);
void fence_ring_retire_context(struct fence_ring *, uint32_t ctx_id, uint32_t ring_idx,
                               uint64_t fence_id);

/*
 * From the queue's thread, when it is about to sleep: until the next call, each fence that comes is
 * followed by a call of `answer(argument)` on the library's thread.  It takes the fence; false
 * wakes the queue's thread.  NULL: the queue's thread has slept.  Nobody is in `answer` any more
 * when this returns.
 */
void fence_ring_answer_by(struct fence_ring *, bool (*answer)(void *argument), void *argument);

/* From the queue's thread, before it takes fences: what comes from here on wakes it again.  The
 * eventfd stays readable, and who waits for that empties it first. */
void fence_ring_awake(struct fence_ring *);
void fence_ring_empty(struct fence_ring *);

/* From the queue's thread, or in `answer`: moves at most `room` context fences to `out`; returns
 * how many.  When `room` was not enough the eventfd is written again. */
uint32_t fence_ring_take(struct fence_ring *, struct retired_fence *out, uint32_t room);

/* Whether a fence of the global timeline has passed; the numbers wrap. */
static inline int fence_ring_passed(struct fence_ring *ring, uint32_t fence) {
    return (int32_t)(atomic_load_explicit(&ring->retired, memory_order_acquire) - fence) >= 0;
}

#endif
