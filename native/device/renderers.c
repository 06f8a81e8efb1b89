/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/renderers.h"

#include <stddef.h>

#include "device/commands_2d.h"

static void resource_gone(struct device *device, struct resource *resource) {
    (void)device;
    (void)resource;
}

static void reset(struct device *device) {
    (void)device;
}

static void close_renderer(struct device *device) {
    (void)device;
}

static bool hold(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length) {
    (void)device;
    (void)chain;
    (void)response;
    (void)length;
    return false;
}

static bool release(struct device *device, bool all) {
    (void)device;
    (void)all;
    return false;
}

static void sleep_through(struct device *device, bool asleep) {
    (void)device;
    (void)asleep;
}

static const struct command COMMANDS[] = {COMMANDS_THAT_SHOW, {0}};

const struct renderer RENDERER_OF_IMAGES = {
    .commands = COMMANDS,
    .resource_gone = resource_gone,
    .reset = reset,
    .close = close_renderer,
    .hold = hold,
    .release = release,
    .sleep = sleep_through,
};

const struct command *renderer_command(const struct renderer *renderer, uint32_t type) {
    for (const struct command *command = renderer->commands; command->type != 0; command++)
        if (command->type == type)
            return command;
    return NULL;
}
