/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "vulkan/layer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vulkan/known.h"

static const char HIDDEN[] = "VK_EXT_external_memory_dma_buf";
static const char LAYER[] = "VK_LAYER_VGPUD_no_dma_buf";

typedef int32_t create_instance_function(const struct vulkan_create_info *info,
                                         const void *allocator, struct vulkan_object **instance);
typedef int32_t create_device_function(struct vulkan_object *physical,
                                       const struct vulkan_create_info *info, const void *allocator,
                                       struct vulkan_object **device);

/* --- who comes next */

/* Takes what is for this layer; NULL: a loader that does not speak as the document says. */
static struct vulkan_link *take_link(const struct vulkan_create_info *info, int32_t type) {
    for (struct vulkan_layer_info *at = info->next; at != NULL; at = at->next)
        if (at->type == type && at->function == VULKAN_LAYER_LINK) {
            struct vulkan_link *link = at->link;
            at->link = link->next;
            return link;
        }
    return NULL;
}

/* What is not known is of no use to the loader. */
static int32_t keep(const struct known *known, const void *allocator) {
    if (known->destroy == NULL)
        return VULKAN_INITIALIZATION_FAILED;
    if (known_add(known))
        return VULKAN_SUCCESS;
    known->destroy(known->object, allocator);
    return VULKAN_OUT_OF_HOST_MEMORY;
}

/* Of an instance or a device. */
static void destroy(struct vulkan_object *object, const void *allocator) {
    struct known known;

    if (object == NULL || !known_find(object, &known))
        return;
    known_remove(object);
    known.destroy(object, allocator);
}

/* --- instances */

static int32_t keep_instance(struct vulkan_object *instance, vulkan_find *find,
                             const void *allocator) {
    const struct known known = {
        .object = instance,
        .find = find,
        .destroy = (vulkan_destroy *)find(instance, "vkDestroyInstance"),
        .get_properties = (vulkan_get_properties *)find(instance, "vkGetPhysicalDeviceProperties"),
        .enumerate_extensions =
            (vulkan_enumerate_extensions *)find(instance, "vkEnumerateDeviceExtensionProperties"),
    };

    return keep(&known, allocator);
}

static int32_t create_instance(const struct vulkan_create_info *info, const void *allocator,
                               struct vulkan_object **instance) {
    struct vulkan_link *link = take_link(info, VULKAN_LOADER_INSTANCE);
    create_instance_function *create = NULL;
    int32_t result;

    if (link != NULL)
        create = (create_instance_function *)link->find_of_instance(NULL, "vkCreateInstance");
    if (create == NULL)
        return VULKAN_INITIALIZATION_FAILED;
    result = create(info, allocator, instance);
    if (result != VULKAN_SUCCESS)
        return result;
    return keep_instance(*instance, link->find_of_instance, allocator);
}

/* --- devices: nothing of theirs is changed, but the loader wants to be told where they go on */

static int32_t keep_device(struct vulkan_object *device, vulkan_find *find, const void *allocator) {
    const struct known known = {.object = device,
                                .find = find,
                                .destroy = (vulkan_destroy *)find(device, "vkDestroyDevice")};

    return keep(&known, allocator);
}

static int32_t create_device(struct vulkan_object *physical, const struct vulkan_create_info *info,
                             const void *allocator, struct vulkan_object **device) {
    struct vulkan_link *link = take_link(info, VULKAN_LOADER_DEVICE);
    create_device_function *create = NULL;
    struct known instance;
    int32_t result;

    if (link != NULL && known_find(physical, &instance))
        create =
            (create_device_function *)link->find_of_instance(instance.object, "vkCreateDevice");
    if (create == NULL)
        return VULKAN_INITIALIZATION_FAILED;
    result = create(physical, info, allocator, device);
    if (result != VULKAN_SUCCESS)
        return result;
    return keep_device(*device, link->find, allocator);
}

/* --- what is hidden */

static bool draws_with_processor(struct vulkan_object *physical, const struct known *instance) {
    struct vulkan_properties properties = {.type = 0};

    if (instance->get_properties == NULL)
        return false;
    instance->get_properties(physical, &properties);
    return properties.type == VULKAN_DEVICE_TYPE_CPU;
}

/* How many are left. */
static uint32_t leave_out_hidden(struct vulkan_extension *extensions, uint32_t count) {
    uint32_t left = 0;

    for (uint32_t at = 0; at < count; at++)
        if (strncmp(extensions[at].name, HIDDEN, sizeof(HIDDEN)) != 0)
            extensions[left++] = extensions[at];
    return left;
}

/* As vkEnumerateDeviceExtensionProperties() answers. */
static int32_t hand_out(const struct vulkan_extension *from, uint32_t have, uint32_t *count,
                        struct vulkan_extension *extensions) {
    uint32_t room = *count;

    *count = extensions != NULL && room < have ? room : have;
    if (extensions == NULL)
        return VULKAN_SUCCESS;
    memcpy(extensions, from, *count * sizeof(*extensions));
    return room < have ? VULKAN_INCOMPLETE : VULKAN_SUCCESS;
}

static int32_t shown_extensions(struct vulkan_object *physical, vulkan_enumerate_extensions *next,
                                uint32_t *count, struct vulkan_extension *extensions) {
    struct vulkan_extension *all;
    uint32_t have = 0;
    int32_t result = next(physical, NULL, &have, NULL);

    if (result != VULKAN_SUCCESS)
        return result;
    all = calloc(have > 0 ? have : 1, sizeof(*all));
    if (all == NULL)
        return VULKAN_OUT_OF_HOST_MEMORY;
    result = next(physical, NULL, &have, all);
    if (result == VULKAN_SUCCESS)
        result = hand_out(all, leave_out_hidden(all, have), count, extensions);
    free(all);
    return result;
}

static int32_t enumerate_extensions(struct vulkan_object *physical, const char *layer,
                                    uint32_t *count, struct vulkan_extension *extensions) {
    struct known instance;

    if (layer != NULL && strcmp(layer, LAYER) == 0) {
        *count = 0;
        return VULKAN_SUCCESS;
    }
    if (!known_find(physical, &instance) || instance.enumerate_extensions == NULL)
        return VULKAN_INITIALIZATION_FAILED;
    if (layer != NULL || !draws_with_processor(physical, &instance))
        return instance.enumerate_extensions(physical, layer, count, extensions);
    return shown_extensions(physical, instance.enumerate_extensions, count, extensions);
}

/* --- how the loader finds all that */

static vulkan_find find_of_instance, find_of_device;

static const struct {
    const char *name;
    vulkan_function function;
} functions[] = {
    {"vkGetInstanceProcAddr", (vulkan_function)find_of_instance},
    {"vkCreateInstance", (vulkan_function)create_instance},
    {"vkDestroyInstance", (vulkan_function)destroy},
    {"vkEnumerateDeviceExtensionProperties", (vulkan_function)enumerate_extensions},
    {"vkCreateDevice", (vulkan_function)create_device},
    /* Those of devices from here on. */
    {"vkGetDeviceProcAddr", (vulkan_function)find_of_device},
    {"vkDestroyDevice", (vulkan_function)destroy},
};

enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]), FIRST_OF_DEVICES = 5 };

static vulkan_function find(struct vulkan_object *object, const char *name, size_t first) {
    struct known known;

    for (size_t at = first; at < FUNCTIONS; at++)
        if (strcmp(functions[at].name, name) == 0)
            return functions[at].function;
    if (object == NULL || !known_find(object, &known))
        return NULL;
    return known.find(object, name);
}

static vulkan_function find_of_instance(struct vulkan_object *instance, const char *name) {
    return find(instance, name, 0);
}

static vulkan_function find_of_device(struct vulkan_object *device, const char *name) {
    return find(device, name, FIRST_OF_DEVICES);
}

int32_t vkNegotiateLoaderLayerInterfaceVersion(struct vulkan_negotiation *negotiation) {
    if (negotiation->type != VULKAN_NEGOTIATION || negotiation->version < VULKAN_LAYER_VERSION)
        return VULKAN_INITIALIZATION_FAILED;
    negotiation->version = VULKAN_LAYER_VERSION;
    negotiation->find_of_instance = find_of_instance;
    negotiation->find_of_device = find_of_device;
    negotiation->find_of_physical_device = NULL;
    return VULKAN_SUCCESS;
}
