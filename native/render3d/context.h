/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The guest's contexts.  What is attached to a context is only noted until it may draw: Linux
 * attaches every framebuffer to a context, most of which never draw into it.
 */
#ifndef VGPUD_CONTEXT_H
#define VGPUD_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

/* [python] */
struct device;

/* `context_init`: a capset's number, 0: the library's choice.  -EALREADY: the number is
 * taken, or 0; -ENOMEM; -EINVAL: the library refuses. */
int context_create(struct device *device, uint32_t ctx_id, uint32_t context_init, const char *name,
                   uint32_t length);
/* These: -ESRCH no such context, -ENOENT no such resource. */
int context_destroy(struct device *device, uint32_t ctx_id);
int context_attach_resource(struct device *device, uint32_t ctx_id, uint32_t resource_id);
int context_detach_resource(struct device *device, uint32_t ctx_id, uint32_t resource_id);
/* [end python] */

struct render3d;

struct context {
    uint32_t ctx_id;
    bool vulkan; /* it has no textures */
    bool lost;   /* the library refuses its commands */
    /* 2D resources that were attached, but that the library does not know yet. */
    uint32_t *waiting;
    uint32_t waiting_count, waiting_room;
};

/* NULL: there is none. */
struct context *context_find(struct render3d *render3d, uint32_t ctx_id);
/* Tells the library what was attached to the context: before anything that may use it. */
void context_settle(struct device *device, struct context *context);
/* The resource goes: contexts no longer wait for it. */
void contexts_forget(struct render3d *render3d, uint32_t resource_id);
void contexts_destroy_all(struct render3d *render3d);

#endif
