/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A driver for the Vulkan loader that draws nothing: two devices, the first of which says that it draws
 * with the processor, with the same extensions.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LOADER_MAGIC = 0x01CDC0DE, CPU = 4, DISCRETE = 2, INCOMPLETE = 5, DEVICES = 2 };

struct object {
    uintptr_t loaders; /* the first word of a handle is the loader's */
    int32_t type;
};

struct properties {
    uint32_t api, driver, vendor, device;
    int32_t type;
};

struct extension {
    char name[256];
    uint32_t version;
};

typedef void function(void);
function *vk_icdGetInstanceProcAddr(void *instance, const char *name);
int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version);

static struct object devices[DEVICES] = {{LOADER_MAGIC, CPU}, {LOADER_MAGIC, DISCRETE}};
static const struct extension EXTENSIONS[] = {
    {"VK_KHR_external_memory_fd", 1}, {"VK_EXT_external_memory_dma_buf", 1}, {"VK_EXT_external_memory_host", 1}};

static int32_t make(struct object **made) {
    *made = calloc(1, sizeof(**made));
    if (*made == NULL)
        return -1;
    (*made)->loaders = LOADER_MAGIC;
    return 0;
}

static int32_t create_instance(const void *info, const void *allocator, struct object **instance) {
    (void)info;
    (void)allocator;
    return make(instance);
}

static int32_t create_device(void *physical, const void *info, const void *allocator, struct object **device) {
    (void)physical;
    (void)info;
    (void)allocator;
    return make(device);
}

static void destroy(struct object *object, const void *allocator) {
    (void)allocator;
    free(object);
}

static int32_t enumerate_devices(void *instance, uint32_t *count, struct object **found) {
    (void)instance;
    for (uint32_t at = 0; found != NULL && at < DEVICES && at < *count; at++)
        found[at] = &devices[at];
    *count = DEVICES;
    return 0;
}

static void properties_of(const struct object *physical, struct properties *properties) {
    *properties = (struct properties){.api = 1 << 22 | 3 << 12, .type = physical->type};
}

static int32_t enumerate_extensions(void *physical, const char *layer, uint32_t *count, struct extension *found) {
    const uint32_t have = sizeof(EXTENSIONS) / sizeof(EXTENSIONS[0]);
    uint32_t room = *count;

    (void)physical;
    (void)layer;
    *count = found != NULL && room < have ? room : have;
    if (found != NULL)
        memcpy(found, EXTENSIONS, *count * sizeof(*found));
    return found != NULL && room < have ? INCOMPLETE : 0;
}

static int32_t no_extensions(const char *layer, uint32_t *count, void *found) {
    (void)layer;
    (void)found;
    *count = 0;
    return 0;
}

static void nothing(void) {
}

static function *find(void *object, const char *name);

/* The loader wants a driver to have more than is used here. */
static const struct {
    const char *name;
    function *function;
} FUNCTIONS[] = {
    {"vkCreateInstance", (function *)create_instance},
    {"vkEnumerateInstanceExtensionProperties", (function *)no_extensions},
    {"vkDestroyInstance", (function *)destroy},
    {"vkEnumeratePhysicalDevices", (function *)enumerate_devices},
    {"vkGetPhysicalDeviceProperties", (function *)properties_of},
    {"vkEnumerateDeviceExtensionProperties", (function *)enumerate_extensions},
    {"vkCreateDevice", (function *)create_device},
    {"vkDestroyDevice", (function *)destroy},
    {"vkGetDeviceProcAddr", (function *)find},
    {"vkGetDeviceQueue", nothing},
    {"vkGetPhysicalDeviceFeatures", nothing},
    {"vkGetPhysicalDeviceFormatProperties", nothing},
    {"vkGetPhysicalDeviceImageFormatProperties", nothing},
    {"vkGetPhysicalDeviceQueueFamilyProperties", nothing},
    {"vkGetPhysicalDeviceMemoryProperties", nothing},
    {"vkGetPhysicalDeviceSparseImageFormatProperties", nothing},
};

static function *find(void *object, const char *name) {
    (void)object;
    for (size_t at = 0; at < sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]); at++)
        if (strcmp(FUNCTIONS[at].name, name) == 0)
            return FUNCTIONS[at].function;
    return NULL;
}

function *vk_icdGetInstanceProcAddr(void *instance, const char *name) {
    return find(instance, name);
}

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    *version = 5;
    return 0;
}
