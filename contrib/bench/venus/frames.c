// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The program that is recorded: computes with Vulkan, time and again, as a program draws frames.
//
//   frames COUNT STEPS TIMES      writes COUNT numbers into memory that it shares with the device, has
//   each go through STEPS steps, waits for a fence, and so on; prints a sum of what came out last
#define main compute_main
#include "compute.c"
#undef main

struct frames {
    const struct gpu *gpu;
    uint32_t *numbers;
    uint32_t count, steps;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkDescriptorSet set;
    VkCommandBuffer commands;
    VkFence fence;
};

static VkBuffer make_buffer(struct frames *frames) {
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = frames->count * sizeof(uint32_t),
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
    };
    VkBuffer buffer;
    check(vkCreateBuffer(frames->gpu->device, &info, NULL, &buffer), "vkCreateBuffer");
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(frames->gpu->device, buffer, &needs);
    VkDeviceMemory memory;
    check(allocate(frames->gpu, needs.size, &memory, (void **)&frames->numbers), "memory");
    check(vkBindBufferMemory(frames->gpu->device, buffer, memory, 0), "vkBindBufferMemory");
    return buffer;
}

static void prepare(struct frames *frames) {
    VkDevice device = frames->gpu->device;
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
    check(vkCreateDescriptorSetLayout(device, &set_info, NULL, &set_layout), "set layout");
    const VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(uint32_t)};
    const VkPipelineLayoutCreateInfo layout_info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &range,
    };
    check(vkCreatePipelineLayout(device, &layout_info, NULL, &frames->layout), "pipeline layout");
    frames->pipeline = make_pipeline(frames->gpu, frames->layout);
    frames->set = describe(frames->gpu, set_layout, make_buffer(frames));

    const VkCommandPoolCreateInfo pool_info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = frames->gpu->family,
    };
    VkCommandPool pool;
    check(vkCreateCommandPool(device, &pool_info, NULL, &pool), "vkCreateCommandPool");
    const VkCommandBufferAllocateInfo commands_info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    check(vkAllocateCommandBuffers(device, &commands_info, &frames->commands), "command buffer");
    const VkFenceCreateInfo fence_info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    check(vkCreateFence(device, &fence_info, NULL, &frames->fence), "vkCreateFence");
}

static void record(const struct frames *frames) {
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
    };
    check(vkBeginCommandBuffer(frames->commands, &begin), "vkBeginCommandBuffer");
    vkCmdBindPipeline(frames->commands, VK_PIPELINE_BIND_POINT_COMPUTE, frames->pipeline);
    vkCmdBindDescriptorSets(frames->commands, VK_PIPELINE_BIND_POINT_COMPUTE, frames->layout, 0, 1,
                            &frames->set, 0, NULL);
    vkCmdPushConstants(frames->commands, frames->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                       sizeof(frames->steps), &frames->steps);
    vkCmdDispatch(frames->commands, (frames->count + 63) / 64, 1, 1);
    vkCmdPipelineBarrier(frames->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                         VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    check(vkEndCommandBuffer(frames->commands), "vkEndCommandBuffer");
}

static void draw(const struct frames *frames, uint32_t turn) {
    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &frames->commands,
    };
    for (uint32_t i = 0; i < frames->count; i++)
        frames->numbers[i] = turn + i;
    record(frames);
    check(vkQueueSubmit(frames->gpu->queue, 1, &submit, frames->fence), "vkQueueSubmit");
    check(vkWaitForFences(frames->gpu->device, 1, &frames->fence, VK_TRUE, UINT64_MAX), "wait");
    check(vkResetFences(frames->gpu->device, 1, &frames->fence), "vkResetFences");
}

int main(int argc, char **argv) {
    if (argc != 4)
        return fprintf(stderr, "usage: frames COUNT STEPS TIMES\n"), 2;
    const struct gpu gpu = open_gpu();
    struct frames frames = {
        .gpu = &gpu, .count = strtoul(argv[1], NULL, 10), .steps = strtoul(argv[2], NULL, 10)};
    const uint32_t times = strtoul(argv[3], NULL, 10);
    prepare(&frames);
    for (uint32_t turn = 0; turn < times; turn++)
        draw(&frames, turn);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < frames.count; i++)
        sum = sum * 31 + frames.numbers[i];
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}
