/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* librutabaga_gfx_ffi, started: what its operations work on. */
#ifndef VGPUD_RUTABAGA_STARTED_H
#define VGPUD_RUTABAGA_STARTED_H

#include <stdbool.h>

#include "render3d/gpu_library.h"
#include "render3d/scratch.h"
#include "rutabaga/api.h"

/* A guest blob or a host blob, from its creation to its end. */
struct rutabaga_blob {
    uint32_t resource_id;
    uint64_t size;
    struct iovec *iov; /* its guest memory; NULL: none */
    uint32_t iov_count;
    int fd;      /* what it is exported as; -1: not yet */
    bool dmabuf; /* that is a DMA buffer */
    uint32_t map_info;
    uint32_t *contexts; /* that it is attached to */
    uint32_t context_count, context_room;
    struct rutabaga_blob *next;
};

/* The library has no look-up of its own that we could use, and a guest may have thousands. */
enum { BLOB_CHAINS = 256 };

struct rutabaga_started {
    struct gpu_library library; /* the first: operations are given this */
    struct rutabaga_api api;
    struct gpu_operations operations; /* those that it has as it was started */
    struct rutabaga *handle;
    bool planar;      /* only 2D: see rutabaga_transfer_to_host() */
    bool makes_files; /* of gfxstream's memory */
    uint64_t capset_mask;
    struct rutabaga_blob *blobs[BLOB_CHAINS];
    uint32_t *cross_domain; /* contexts of that capability set */
    uint32_t cross_domain_count, cross_domain_room;
    struct scratch pixels;  /* whole rows of what is transferred */
    struct scratch backing; /* of what has none and is read */
};

/* Whether gfxstream was started in it. */
static inline bool rutabaga_draws(const struct rutabaga_started *started) {
    return (started->capset_mask & ~((uint64_t)1 << RUTABAGA_CROSS_DOMAIN)) != 0;
}

/* Whether nothing else was. */
static inline bool rutabaga_only_draws(const struct rutabaga_started *started) {
    return (started->capset_mask >> RUTABAGA_CROSS_DOMAIN & 1) == 0;
}

static inline struct rutabaga_started *started_of(struct gpu_library *library) {
    return (struct rutabaga_started *)library;
}

#endif
