/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "rutabaga/rutabaga.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rutabaga/library.h"
#include "rutabaga/log.h"
#include "rutabaga/operations.h"
#include "rutabaga/started.h"

/* --- what the library calls, also from its own threads, and from inside create_fence() */

static void passed(uint64_t user_data, const struct rutabaga_fence *fence) {
    struct rutabaga_started *started = (struct rutabaga_started *)(uintptr_t)user_data;
    struct fence_ring *fences = &started->library.fences;

    if (fence->flags & RUTABAGA_FENCE_OF_RING)
        fence_ring_retire_context(fences, fence->ctx_id, fence->ring_idx & RUTABAGA_RING_MASK,
                                  fence->fence_id);
    else
        fence_ring_retire(fences, (uint32_t)fence->fence_id);
}

/* --- starting it */

static int start(struct rutabaga_started *started, const char *wayland, const char *features,
                 char *text) {
    const struct rutabaga_channel channel = {wayland, RUTABAGA_WAYLAND};
    const struct rutabaga_channels channels = {&channel, 1};
    const struct rutabaga_builder builder = {
        .user_data = (uintptr_t)started,
        .capset_mask = started->capset_mask,
        .wsi = RUTABAGA_SURFACELESS,
        .fence = passed,
        .debug = rutabaga_log,
        .channels = *wayland != '\0' ? &channels : NULL,
        .features = features,
    };
    int error = started->api.init(&builder, &started->handle);

    if (error == 0)
        return 0;
    snprintf(text + strlen(text), RUTABAGA_TEXT - strlen(text), ": rutabaga_init() failed with %d",
             error);
    return -ENODEV;
}

static struct rutabaga_started *make(uint64_t capset_mask) {
    struct rutabaga_started *started = calloc(1, sizeof(*started));

    if (started == NULL || fence_ring_init(&started->library.fences) != 0) {
        free(started);
        return NULL;
    }
    started->library.poll_fd = -1;
    started->capset_mask = capset_mask;
    started->planar = capset_mask == 0;
    started->library.reads_whole = rutabaga_draws(started);
    return started;
}

static int open_and_start(struct rutabaga_started *started, const char *wayland,
                          const char *features, char *text) {
    bool takes_features;
    int error = rutabaga_library_open(&started->api, &takes_features, text, RUTABAGA_TEXT);

    if (error < 0)
        return error;
    started->makes_files = takes_features && *features != '\0';
    rutabaga_set_operations(started);
    return start(started, wayland, started->makes_files ? features : NULL, text);
}

int rutabaga_makes_files(const struct gpu_library *library) {
    return ((const struct rutabaga_started *)library)->makes_files;
}

struct gpu_library *rutabaga_open(uint64_t capset_mask, const char *wayland, const char *features,
                                  char *text) {
    static bool opened; /* a second start would fail, or silently draw in 2D */
    struct rutabaga_started *started;

    if (opened) {
        snprintf(text, RUTABAGA_TEXT, "it has been started in this process already");
        return NULL;
    }
    started = make(capset_mask);
    if (started == NULL) {
        snprintf(text, RUTABAGA_TEXT, "out of memory or descriptors");
        return NULL;
    }
    opened = true;
    if (open_and_start(started, wayland, features, text) < 0) {
        fence_ring_destroy(&started->library.fences);
        free(started);
        return NULL;
    }
    return &started->library;
}
