// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Computes with Vulkan, from and into memory that the processor sees too.
//
//   compute COUNT STEPS           COUNT numbers 0, 1, 2 … go through STEPS steps; prints the device
//                                 and a sum of what came out
//   compute --allocations COUNT   tries to have COUNT pieces of memory and to write into them; says
//                                 how many there are, and which call refused the first other one;
//                                 has them until its standard input ends
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute.spirv.h"
#include "gpu.h"

#define PIECE 65536

static VkResult make_piece(const struct gpu *gpu, uint32_t **piece, const char **call) {
    VkDeviceMemory memory;
    *call = "vkAllocateMemory";
    VkResult result = allocate(gpu, PIECE, &memory);
    if (result)
        return result;
    *call = "vkMapMemory";
    return map(gpu, memory, (void **)piece);
}

static int allocations(const struct gpu *gpu, uint32_t wanted) {
    uint32_t **pieces = calloc(wanted, sizeof(*pieces));
    uint32_t count = 0;
    const char *call, *first_call = NULL;
    VkResult first_result = VK_SUCCESS;
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t *piece;
        VkResult result = make_piece(gpu, &piece, &call);
        if (result == VK_SUCCESS) {
            piece[0] = count;
            piece[PIECE / 4 - 1] = ~count;
            pieces[count++] = piece;
        } else if (!first_call) {
            first_call = call;
            first_result = result;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        if (pieces[i][0] != i || pieces[i][PIECE / 4 - 1] != ~i)
            return printf("failed: piece %u\n", i), 1;
    printf("%u of %u allocations\n", count, wanted);
    if (first_call)
        printf("refused: %s: %d\n", first_call, first_result);
    while (getchar() != EOF)
        ;
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

    VkCommandBuffer commands = begin(gpu);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    vkCmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(steps), &steps);
    vkCmdDispatch(commands, (count + 63) / 64, 1, 1);
    carry_out(gpu, commands);
}

static int compute(const struct gpu *gpu, uint32_t count, uint32_t steps) {
    VkDeviceMemory memory;
    VkBuffer buffer =
        make_buffer(gpu, count * sizeof(uint32_t), VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, &memory);
    uint32_t *numbers;
    check(map(gpu, memory, (void **)&numbers), "vkMapMemory");
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
