// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// A Vulkan device that computes, and memory that the processor sees too.
#pragma once

#include <stdint.h>
#include <vulkan/vulkan.h>

struct gpu {
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    VkCommandPool pool;
    uint32_t family, memory_type;
};

// Ends the program, naming the call, unless it succeeded.
void check(VkResult result, const char *what);

// The first device; prints its name.
struct gpu open_gpu(void);

VkResult allocate(const struct gpu *gpu, VkDeviceSize size, VkDeviceMemory *memory);
VkResult map(const struct gpu *gpu, VkDeviceMemory memory, void **mapped);

// With memory of its own.
VkBuffer make_buffer(const struct gpu *gpu, VkDeviceSize size, VkBufferUsageFlags usage,
                     VkDeviceMemory *memory);

// What is recorded in between has been carried out, and the processor sees it, when `carry_out`
// returns.
VkCommandBuffer begin(const struct gpu *gpu);
void carry_out(const struct gpu *gpu, VkCommandBuffer commands);
