/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A layer of Vulkan's, which the loader puts between gfxstream and the drivers: of one that draws
 * with the processor it hides VK_EXT_external_memory_dma_buf.  Such a driver says that it has it,
 * and makes no DMA buffers where there is no udmabuf; gfxstream ends the process for that.
 *
 * The loader finds it by vgpud/device/renderers/vulkan/layer.json, in this very library, which the
 * process has open.
 */
#ifndef VGPUD_VULKAN_LAYER_H
#define VGPUD_VULKAN_LAYER_H

#include "vulkan/interface.h"

/* The only name that the loader looks up; a VkResult. */
int32_t vkNegotiateLoaderLayerInterfaceVersion(struct vulkan_negotiation *negotiation)
    __attribute__((visibility("default")));

#endif
