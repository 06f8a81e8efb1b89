/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* libvirglrenderer, started: what its operations work on. */
#ifndef VGPUD_VIRGL_STARTED_H
#define VGPUD_VIRGL_STARTED_H

#include <stdbool.h>

#include "render3d/gpu_library.h"
#include "virgl/api.h"

struct virgl {
    struct gpu_library library; /* the first: operations are given this */
    struct virgl_api api;
    struct gpu_operations operations; /* those that the library has */
    struct virgl_callbacks callbacks;
    char *render_node; /* NULL: none */
    int server;        /* the render server's socket, until the library has it; -1: none */
    bool in_context_0; /* see virgl/context_0.h */
};

static inline struct virgl *virgl_of(struct gpu_library *library) {
    return (struct virgl *)library;
}

static inline const struct virgl_api *api_of(struct gpu_library *library) {
    return &virgl_of(library)->api;
}

#endif
