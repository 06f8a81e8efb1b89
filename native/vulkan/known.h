/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Instances and devices of Vulkan's that go through the layer, and who comes after it.  From any
 * thread. */
#ifndef VGPUD_VULKAN_KNOWN_H
#define VGPUD_VULKAN_KNOWN_H

#include <stdbool.h>

#include "vulkan/interface.h"

/* The next one's functions.  Of an instance they are looked up when it has just been made: later
 * the loader finds those of its first layer. */
struct known {
    struct vulkan_object *object;
    vulkan_find *find;
    vulkan_destroy *destroy;
    vulkan_get_properties *get_properties;             /* of an instance */
    vulkan_enumerate_extensions *enumerate_extensions; /* likewise */
};

/* False: no memory. */
bool known_add(const struct known *known);
/* Of an instance by a physical device of its, too; false: there is no such. */
bool known_find(const struct vulkan_object *object, struct known *found);
void known_remove(const struct vulkan_object *object);

#endif
