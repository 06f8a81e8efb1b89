/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a renderer does without Python: its table of commands, and what it needs for commands that
 * finish later.
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
    bool any_length; /* it checks its own limit */
};

/* Each renderer has all of them. */
struct renderer {
    const struct command *commands; /* the last is of type 0 */
    bool finishes_later;            /* hold() may be true */
    /* A resource, of whatever kind, is about to go. */
    void (*resource_gone)(struct device *device, struct resource *resource);
    void (*reset)(struct device *device);
    void (*close)(struct device *device); /* after a reset: frees what the renderer has */
    /* device->unanswered[chain] gets this answer; true: the renderer will give it later, when what
     * was begun before it is done. */
    bool (*hold)(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length);
    /* Gives the held answers that are due; `all`: every one, since the queue stops.  True: some are
     * still held, and the queue's kick wakes when there may be more to release. */
    bool (*release)(struct device *device, bool all);
    /* The queue's thread is about to sleep, or has slept: in between the renderer's own threads
     * give the answers that become due. */
    void (*sleep)(struct device *device, bool asleep);
};

/* Without a library: images, and nothing that finishes later. */
extern const struct renderer RENDERER_OF_IMAGES;

/* NULL: Python executes it. */
const struct command *renderer_command(const struct renderer *renderer, uint32_t type);

#endif
