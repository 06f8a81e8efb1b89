/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a renderer does without Python: a table of commands, and what it has to hear of when it
 * holds more than images.
 */
#ifndef VGPUD_RENDERERS_H
#define VGPUD_RENDERERS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/rectangle.h"

/* [python] */
enum { RENDERER_NULL, RENDERER_2D };
/* [end python] */

struct device;
struct resource;

/* A command that is executed here.  Returns the response's type. */
struct command {
    uint32_t type;
    uint32_t request_bytes; /* a shorter request is refused */
    uint32_t (*execute)(struct device *device, const void *request);
    bool any_length; /* it has a limit of its own */
};

/* What a renderer that holds more than images has to hear of. */
struct renderer_hooks {
    /* The resource is about to be shown and has no image yet; 0 or -errno. */
    int (*make_canvas)(struct device *device, struct resource *resource);
    /* It has just got its image: takes its DMA buffer too, where it has one that can be shown. */
    void (*export_buffer)(struct device *device, struct resource *resource);
    /* Brings a rectangle of what was drawn into its image; 0, or an error. */
    int (*read_back)(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle);
    /* Its backing came, went or moved. */
    void (*backing_changed)(struct device *device, struct resource *resource);
    /* It is about to go. */
    void (*destroyed)(struct device *device, struct resource *resource);
    void (*reset)(struct device *device);
    /* device->unanswered[chain] is to be answered so; true: later, by the renderer, when what was
     * begun before it is done. */
    bool (*hold)(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length);
    /* Answers what was held and may be now; `all`: what may not as well, the queue stops.  True:
     * something is held still. */
    bool (*release)(struct device *device, bool all);
    /* Readable when there may be something to release. */
    int (*release_fd)(const struct device *device);
};

/* What a renderer does without Python: `commands` ends with type 0. */
struct renderer {
    const struct command *commands;
    bool draws;                         /* images have pixels and are presented */
    const struct renderer_hooks *hooks; /* NULL: none */
};

/* NULL: no such renderer. */
const struct renderer *renderer_find(int renderer);

const struct command *renderer_command(const struct renderer *renderer, uint32_t type);

#endif
