/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Frames of a program that presents them by Vulkan: a layer, as the loader knows them
 * (VK_LAYER_VGPUD_hold, hold.json), of programs that have one instance and one device.
 */
#include "hold.h"

#include <stddef.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Those of whoever is below. */
static PFN_vkGetInstanceProcAddr next_of_instance;
static PFN_vkGetDeviceProcAddr next_of_device;
static VkInstance the_instance;
static VkDevice the_device;

static VKAPI_ATTR VkResult VKAPI_CALL present(VkQueue queue, const VkPresentInfoKHR *info) {
    PFN_vkQueuePresentKHR next =
        (PFN_vkQueuePresentKHR)next_of_device(the_device, "vkQueuePresentKHR");
    VkResult result = next(queue, info);
    if (result >= 0 && is_last_frame()) {
        hold();
    }
    return result;
}

/* The link of the loader's chain that is meant for this layer. */
static VkLayerInstanceCreateInfo *link_of_instance(const VkInstanceCreateInfo *info) {
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
    while (link->sType != VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO ||
           link->function != VK_LAYER_LINK_INFO) {
        link = (VkLayerInstanceCreateInfo *)link->pNext;
    }
    return link;
}

static VkLayerDeviceCreateInfo *link_of_device(const VkDeviceCreateInfo *info) {
    VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
    while (link->sType != VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO ||
           link->function != VK_LAYER_LINK_INFO) {
        link = (VkLayerDeviceCreateInfo *)link->pNext;
    }
    return link;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *allocator,
                                                      VkInstance *instance) {
    VkLayerInstanceCreateInfo *link = link_of_instance(info);
    next_of_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateInstance)next_of_instance(
        VK_NULL_HANDLE, "vkCreateInstance"))(info, allocator, instance);
    the_instance = *instance;
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical,
                                                    const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkDevice *device) {
    VkLayerDeviceCreateInfo *link = link_of_device(info);
    next_of_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateDevice)next_of_instance(
        the_instance, "vkCreateDevice"))(physical, info, allocator, device);
    the_device = *device;
    return result;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_of_device(VkDevice device, const char *name);
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_of_instance(VkInstance instance,
                                                                const char *name);

static const struct {
    const char *name;
    PFN_vkVoidFunction function;
} OURS[] = {
    {"vkQueuePresentKHR", (PFN_vkVoidFunction)present},
    {"vkGetDeviceProcAddr", (PFN_vkVoidFunction)get_of_device},
    {"vkGetInstanceProcAddr", (PFN_vkVoidFunction)get_of_instance},
    {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
    {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
};

static PFN_vkVoidFunction ours(const char *name) {
    for (size_t i = 0; i < COUNT(OURS); i++) {
        if (strcmp(OURS[i].name, name) == 0) {
            return OURS[i].function;
        }
    }
    return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_of_device(VkDevice device, const char *name) {
    PFN_vkVoidFunction function = ours(name);
    return function != NULL ? function : next_of_device(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_of_instance(VkInstance instance,
                                                                const char *name) {
    PFN_vkVoidFunction function = ours(name);
    return function != NULL ? function : next_of_instance(instance, name);
}

VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
    interface->loaderLayerInterfaceVersion = 2;
    interface->pfnGetInstanceProcAddr = get_of_instance;
    interface->pfnGetDeviceProcAddr = get_of_device;
    interface->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
