/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/fences.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int fence_ring_init(struct fence_ring *ring) {
    memset(ring, 0, sizeof(*ring));
    ring->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring->eventfd < 0)
        return -errno;
    int error = pthread_mutex_init(&ring->lock, NULL);
    if (error == 0)
        error = pthread_mutex_init(&ring->answering, NULL);
    if (error != 0)
        close(ring->eventfd);
    return -error;
}

void fence_ring_destroy(struct fence_ring *ring) {
    close(ring->eventfd);
    pthread_mutex_destroy(&ring->answering);
    pthread_mutex_destroy(&ring->lock);
    free(ring->entries);
}

static void wake(struct fence_ring *ring) {
    if (!atomic_exchange(&ring->woken, true))
        (void)!eventfd_write(ring->eventfd, 1);
}

void fence_ring_awake(struct fence_ring *ring) {
    atomic_store(&ring->woken, false);
}

void fence_ring_empty(struct fence_ring *ring) {
    eventfd_t ignored;

    (void)!eventfd_read(ring->eventfd, &ignored);
}

void fence_ring_answer_by(struct fence_ring *ring, bool (*answer)(void *argument), void *argument) {
    pthread_mutex_lock(&ring->answering);
    ring->answer = answer;
    ring->argument = argument;
    pthread_mutex_unlock(&ring->answering);
}

/* A fence has come. */
static void tell(struct fence_ring *ring) {
    bool answered;

    pthread_mutex_lock(&ring->answering);
    answered = ring->answer != NULL && ring->answer(ring->argument);
    pthread_mutex_unlock(&ring->answering);
    if (!answered)
        wake(ring);
}

/* A library may report an older fence after a later one, which implies it. */
void fence_ring_retire(struct fence_ring *ring, uint32_t fence) {
    uint32_t before = atomic_load_explicit(&ring->retired, memory_order_relaxed);

    while ((int32_t)(fence - before) > 0 &&
           !atomic_compare_exchange_weak_explicit(&ring->retired, &before, fence,
                                                  memory_order_release, memory_order_relaxed))
        continue;
    tell(ring);
}

/* A fence that is lost hangs the guest for good; a device process that ends is started again. */
static void grow(struct fence_ring *ring) {
    uint32_t capacity = ring->capacity != 0 ? 2 * ring->capacity : 64;
    ring->entries = realloc(ring->entries, capacity * sizeof(*ring->entries));
    if (ring->entries == NULL)
        abort();
    ring->capacity = capacity;
}

static struct retired_fence *last_of(struct fence_ring *ring, uint32_t ctx_id, uint32_t ring_idx) {
    for (uint32_t index = ring->count; index > 0; index--) {
        struct retired_fence *entry = &ring->entries[index - 1];
        if (entry->ctx_id == ctx_id && entry->ring_idx == ring_idx)
            return entry;
    }
    return NULL;
}

void fence_ring_retire_context(struct fence_ring *ring, uint32_t ctx_id, uint32_t ring_idx,
                               uint64_t fence_id) {
    pthread_mutex_lock(&ring->lock);
    /*
     * A later fence implies the earlier ones, so one entry for each ring of each context is enough.
     */
    struct retired_fence *entry = last_of(ring, ctx_id, ring_idx);
    if (entry == NULL) {
        if (ring->count == ring->capacity)
            grow(ring);
        entry = &ring->entries[ring->count++];
        *entry = (struct retired_fence){ctx_id, ring_idx, fence_id};
    }
    if (fence_id > entry->fence_id)
        entry->fence_id = fence_id;
    pthread_mutex_unlock(&ring->lock);
    tell(ring);
}

uint32_t fence_ring_take(struct fence_ring *ring, struct retired_fence *out, uint32_t room) {
    pthread_mutex_lock(&ring->lock);
    uint32_t count = ring->count < room ? ring->count : room;
    if (count != 0) {
        memcpy(out, ring->entries, count * sizeof(*out));
        memmove(ring->entries, ring->entries + count, (ring->count - count) * sizeof(*out));
        ring->count -= count;
    }
    int more = ring->count != 0;
    pthread_mutex_unlock(&ring->lock);
    if (more)
        wake(ring);
    return count;
}
