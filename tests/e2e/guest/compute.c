// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Computes with Vulkan, from and into memory that the processor sees too.
//
//   compute COUNT STEPS           COUNT numbers 0, 1, 2 … go through STEPS steps; prints the device
//   and a sum of what came out compute --allocations COUNT   allocates, maps and writes COUNT
//   pieces of memory, and says how many there were
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

#include "compute.spirv.h"

#define PIECE 65536

struct gpu {
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family, memory_type;
};

static void check(VkResult result, const char *what) {
    if (result == VK_SUCCESS)
        return;
    printf("failed: %s: %d\n", what, result);
    exit(1);
}

static uint32_t find_family(VkPhysicalDevice physical) {
    VkQueueFamilyProperties families[16];
    uint32_t count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)
            return i;
    check(VK_ERROR_FEATURE_NOT_PRESENT, "a queue that computes");
    return 0;
}

static uint32_t find_memory_type(VkPhysicalDevice physical) {
    const VkMemoryPropertyFlags wanted =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(physical, &memory);
    for (uint32_t i = 0; i < memory.memoryTypeCount; i++)
        if ((memory.memoryTypes[i].propertyFlags & wanted) == wanted)
            return i;
    check(VK_ERROR_FEATURE_NOT_PRESENT, "memory that the processor sees");
    return 0;
}

static struct gpu open_gpu(void) {
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .apiVersion = VK_API_VERSION_1_1};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &application};
    VkInstance instance;
    check(vkCreateInstance(&info, NULL, &instance), "vkCreateInstance");

    struct gpu gpu;
    uint32_t count = 1;
    VkResult result = vkEnumeratePhysicalDevices(instance, &count, &gpu.physical);
    check(count ? VK_SUCCESS : result, "vkEnumeratePhysicalDevices");
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(gpu.physical, &properties);
    printf("%s\n", properties.deviceName);

    gpu.family = find_family(gpu.physical);
    gpu.memory_type = find_memory_type(gpu.physical);
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = gpu.family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo device = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
    };
    check(vkCreateDevice(gpu.physical, &device, NULL, &gpu.device), "vkCreateDevice");
    vkGetDeviceQueue(gpu.device, gpu.family, 0, &gpu.queue);
    return gpu;
}

static VkResult allocate(const struct gpu *gpu, VkDeviceSize size, VkDeviceMemory *memory,
                         void **mapped) {
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = size,
        .memoryTypeIndex = gpu->memory_type,
    };
    VkResult result = vkAllocateMemory(gpu->device, &info, NULL, memory);
    return result ? result : vkMapMemory(gpu->device, *memory, 0, VK_WHOLE_SIZE, 0, mapped);
}

static int allocations(const struct gpu *gpu, uint32_t wanted) {
    uint32_t **pieces = calloc(wanted, sizeof(*pieces));
    uint32_t count = 0;
    for (VkDeviceMemory memory; count < wanted; count++) {
        if (allocate(gpu, PIECE, &memory, (void **)&pieces[count]))
            break;
        pieces[count][0] = count;
        pieces[count][PIECE / 4 - 1] = ~count;
    }
    for (uint32_t i = 0; i < count; i++)
        if (pieces[i][0] != i || pieces[i][PIECE / 4 - 1] != ~i)
            return printf("failed: piece %u\n", i), 1;
    printf("%u allocations\n", count);
    return 0;
}

static VkPipeline make_pipeline(const struct gpu *gpu, VkPipelineLayout layout) {
    const VkShaderModuleCreateInfo code = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = sizeof(compute_spirv),
        .pCode = compute_spirv,
    };
    VkShaderModule module;
    check(vkCreateShaderModule(gpu->device, &code, NULL, &module), "vkCreateShaderModule");
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
            },
        .layout = layout,
    };
    VkPipeline pipeline;
    check(vkCreateComputePipelines(gpu->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline),
          "vkCreateComputePipelines");
    return pipeline;
}

static VkDescriptorSet describe(const struct gpu *gpu, VkDescriptorSetLayout layout,
                                VkBuffer buffer) {
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1};
    const VkDescriptorPoolCreateInfo pool_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = 1,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    VkDescriptorPool pool;
    check(vkCreateDescriptorPool(gpu->device, &pool_info, NULL, &pool), "vkCreateDescriptorPool");
    const VkDescriptorSetAllocateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &layout,
    };
    VkDescriptorSet set;
    check(vkAllocateDescriptorSets(gpu->device, &set_info, &set), "vkAllocateDescriptorSets");
    const VkDescriptorBufferInfo whole = {buffer, 0, VK_WHOLE_SIZE};
    const VkWriteDescriptorSet write = {
        .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
        .dstSet = set,
        .descriptorCount = 1,
        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
        .pBufferInfo = &whole,
    };
    vkUpdateDescriptorSets(gpu->device, 1, &write, 0, NULL);
    return set;
}

static void dispatch(const struct gpu *gpu, VkBuffer buffer, uint32_t count, uint32_t steps) {
    const VkDescriptorSetLayoutBinding binding = {
        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
        .descriptorCount = 1,
        .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
    };
    const VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = 1,
        .pBindings = &binding,
    };
    VkDescriptorSetLayout set_layout;
    check(vkCreateDescriptorSetLayout(gpu->device, &set_info, NULL, &set_layout),
          "vkCreateDescriptorSetLayout");
    const VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(steps)};
    const VkPipelineLayoutCreateInfo layout_info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &range,
    };
    VkPipelineLayout layout;
    check(vkCreatePipelineLayout(gpu->device, &layout_info, NULL, &layout),
          "vkCreatePipelineLayout");
    VkPipeline pipeline = make_pipeline(gpu, layout);
    VkDescriptorSet set = describe(gpu, set_layout, buffer);

    const VkCommandPoolCreateInfo pool_info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .queueFamilyIndex = gpu->family,
    };
    VkCommandPool pool;
    check(vkCreateCommandPool(gpu->device, &pool_info, NULL, &pool), "vkCreateCommandPool");
    const VkCommandBufferAllocateInfo commands_info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    VkCommandBuffer commands;
    check(vkAllocateCommandBuffers(gpu->device, &commands_info, &commands),
          "vkAllocateCommandBuffers");
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    check(vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    vkCmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(steps), &steps);
    vkCmdDispatch(commands, (count + 63) / 64, 1, 1);
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
    };
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT,
                         0, 1, &barrier, 0, NULL, 0, NULL);
    check(vkEndCommandBuffer(commands), "vkEndCommandBuffer");

    const VkFenceCreateInfo fence_info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkFence fence;
    check(vkCreateFence(gpu->device, &fence_info, NULL, &fence), "vkCreateFence");
    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &commands,
    };
    check(vkQueueSubmit(gpu->queue, 1, &submit, fence), "vkQueueSubmit");
    check(vkWaitForFences(gpu->device, 1, &fence, VK_TRUE, UINT64_MAX), "vkWaitForFences");
}

static int compute(const struct gpu *gpu, uint32_t count, uint32_t steps) {
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = count * sizeof(uint32_t),
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
    };
    VkBuffer buffer;
    check(vkCreateBuffer(gpu->device, &info, NULL, &buffer), "vkCreateBuffer");
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(gpu->device, buffer, &needs);
    VkDeviceMemory memory;
    uint32_t *numbers;
    check(allocate(gpu, needs.size, &memory, (void **)&numbers), "vkAllocateMemory, vkMapMemory");
    check(vkBindBufferMemory(gpu->device, buffer, memory, 0), "vkBindBufferMemory");
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = i;

    dispatch(gpu, buffer, count, steps);

    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum = sum * 31 + numbers[i];
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return fprintf(stderr, "usage: compute COUNT STEPS | compute --allocations COUNT\n"), 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    const struct gpu gpu = open_gpu();
    if (!strcmp(argv[1], "--allocations"))
        return allocations(&gpu, strtoul(argv[2], NULL, 10));
    return compute(&gpu, strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10));
}
