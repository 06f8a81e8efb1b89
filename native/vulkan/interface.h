/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What we use of Vulkan's and its loader's interfaces (the specification, and the loader's document
 * LoaderLayerInterface.md), declared by ourselves so that nothing of either is needed to build.
 * Names are theirs, without their prefixes.
 */
#ifndef VGPUD_VULKAN_INTERFACE_H
#define VGPUD_VULKAN_INTERFACE_H

#include <stdint.h>

/* Handles: each begins with a pointer that an instance and its physical devices have in common. */
struct vulkan_object {
    void *dispatch;
};

typedef void (*vulkan_function)(void);
typedef vulkan_function vulkan_find(struct vulkan_object *object, const char *name);

/* VkResult */
enum {
    VULKAN_SUCCESS = 0,
    VULKAN_INCOMPLETE = 5,
    VULKAN_OUT_OF_HOST_MEMORY = -1,
    VULKAN_INITIALIZATION_FAILED = -3
};

struct vulkan_extension {
    char name[256];
    uint32_t version;
};

/* The beginning of VkPhysicalDeviceProperties, and room for more than there is. */
struct vulkan_properties {
    uint32_t api, driver, vendor, device;
    int32_t type;
    uint64_t rest[128];
};

enum { VULKAN_DEVICE_TYPE_CPU = 4 };

typedef void vulkan_destroy(struct vulkan_object *object, const void *allocator);
typedef void vulkan_get_properties(struct vulkan_object *physical,
                                   struct vulkan_properties *properties);
typedef int32_t vulkan_enumerate_extensions(struct vulkan_object *physical, const char *layer,
                                            uint32_t *count, struct vulkan_extension *extensions);

/* --- what a layer is given */

/* VkLayerInstanceLink and VkLayerDeviceLink: where the next layer is, or the driver. */
struct vulkan_link {
    struct vulkan_link *next;
    vulkan_find *find_of_instance;
    vulkan_find *find; /* of a device: in VkLayerDeviceLink */
};

/* VkLayerInstanceCreateInfo and VkLayerDeviceCreateInfo, among those that hang on a create info. */
struct vulkan_layer_info {
    int32_t type;
    struct vulkan_layer_info *next;
    int32_t function;
    struct vulkan_link *link; /* when `function` is VULKAN_LAYER_LINK */
};

enum { VULKAN_LAYER_LINK = 0, VULKAN_LOADER_INSTANCE = 47, VULKAN_LOADER_DEVICE = 48 };

/* The beginning of each create info. */
struct vulkan_create_info {
    int32_t type;
    struct vulkan_layer_info *next;
};

/* VkNegotiateLayerInterface */
struct vulkan_negotiation {
    int32_t type;
    void *next;
    uint32_t version;
    vulkan_find *find_of_instance;
    vulkan_find *find_of_device;
    vulkan_find *find_of_physical_device; /* may be NULL */
};

enum { VULKAN_NEGOTIATION = 1, VULKAN_LAYER_VERSION = 2 };

#endif
