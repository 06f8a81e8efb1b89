/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a renderer does without Python: its table of commands, and what it has to hear of when what
 * it begins ends later.
 */
#ifndef VGPUD_RENDERERS_H
#define VGPUD_RENDERERS_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct resource;

/* A command that is executed here.  Returns the response's type. */
struct command {
    uint32_t type;
    uint32_t request_bytes; /* a shorter request is refused */
    uint32_t (*execute)(struct device *device, const void *request);
    bool any_length; /* it has a limit of its own */
};

/* Each has all of them. */
struct renderer {
    const struct command *commands; /* the last is of type 0 */
    bool finishes_later;            /* hold() may be true */
    /* A resource, of whatever kind, is about to go. */
    void (*resource_gone)(struct device *device, struct resource *resource);
    void (*reset)(struct device *device);
    void (*close)(struct device *device); /* after a reset: what the renderer has of it goes */
    /* device->unanswered[chain] is to be answered so; true: later, by the renderer, when what was
     * begun before it is done. */
    bool (*hold)(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length);
    /* Answers what was held and may be now; `all`: what may not as well, the queue stops.  True:
     * something is held still. */
    bool (*release)(struct device *device, bool all);
    /* Readable when there may be something to release; -1: nothing is held. */
    int (*release_fd)(const struct device *device);
};

/* A device's own: images, and nothing that would end later. */
extern const struct renderer RENDERER_OF_IMAGES;

/* NULL: Python executes it. */
const struct command *renderer_command(const struct renderer *renderer, uint32_t type);

#endif
