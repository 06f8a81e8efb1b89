// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Puts memory that the host has allocated for Vulkan on the screen.
//
//   show MODE FRAMES            Vulkan draws into it; the last frame stays until it is killed
//   show MODE FRAMES processor  the guest's processor does, by its mapping of that memory
//
// MODE: WIDTHxHEIGHT.  What frame N looks like depends on N alone.  Prints the device, then "shown"
// when the last frame is on the screen.
#include <drm_fourcc.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <virtgpu_drm.h>

#include "gpu.h"
#include "output.h"

// Of the framebuffer in the memory: neither its begin nor as narrow as it can be, so that both have
// to be told to the device.
#define OFFSET 8192
#define MARGIN 64
#define SEGMENTS 16

struct framebuffer {
    uint32_t width, height, stride;
    VkDeviceSize size;
};

static struct framebuffer layout(const drmModeModeInfo *mode) {
    const uint32_t width = mode->hdisplay, height = mode->vdisplay;
    const uint32_t stride = (width + MARGIN) * 4;
    return (struct framebuffer){width, height, stride, OFFSET + (VkDeviceSize)stride * height};
}

// --- the memory as a framebuffer

// What Mesa has open: a memory's handle is a number of that.
static int find_render_node(void) {
    for (int fd = 3; fd < 1024; fd++) {
        char link[32], path[64] = "";
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        if (readlink(link, path, sizeof(path) - 1) > 0 && !strcmp(path, "/dev/dri/renderD128"))
            return fd;
    }
    fail("finding the render node");
    return -1;
}

// No other has that size.
static uint32_t find_memory(int render_node, VkDeviceSize size) {
    for (uint32_t handle = 1; handle < 4096; handle++) {
        struct drm_virtgpu_resource_info info = {.bo_handle = handle};
        if (drmIoctl(render_node, DRM_IOCTL_VIRTGPU_RESOURCE_INFO, &info) == 0 && info.size == size)
            return handle;
    }
    fail("finding the memory");
    return 0;
}

static uint32_t make_framebuffer(int fd, const struct framebuffer *layout) {
    const int render_node = find_render_node();
    // The kernel has whole pages.
    const VkDeviceSize size = (layout->size + 4095) / 4096 * 4096;
    int shared;
    uint32_t handles[4] = {0}, strides[4] = {layout->stride}, offsets[4] = {OFFSET}, framebuffer;
    if (drmPrimeHandleToFD(render_node, find_memory(render_node, size), DRM_CLOEXEC, &shared) !=
            0 ||
        drmPrimeFDToHandle(fd, shared, &handles[0]) != 0)
        fail("sharing the memory");
    if (drmModeAddFB2(fd, layout->width, layout->height, DRM_FORMAT_XRGB8888, handles, strides,
                      offsets, &framebuffer, 0) != 0)
        fail("making a framebuffer");
    return framebuffer;
}

// --- the picture

static uint32_t colour(int frame, uint32_t row, uint32_t segment) {
    const uint32_t red = (row + 7 * frame) & 255, green = segment * 16, blue = (row / 2) & 255;
    return red << 16 | green << 8 | blue;
}

static void draw_with_vulkan(const struct gpu *gpu, VkBuffer buffer, const struct framebuffer *to,
                             int frame) {
    const uint32_t width = to->width / SEGMENTS * 4;
    VkCommandBuffer commands = begin(gpu);
    for (uint32_t row = 0; row < to->height; row++)
        for (uint32_t segment = 0; segment < SEGMENTS; segment++)
            vkCmdFillBuffer(commands, buffer, OFFSET + row * to->stride + segment * width, width,
                            colour(frame, row, segment));
    carry_out(gpu, commands);
}

static void draw_with_processor(uint32_t *pixels, const struct framebuffer *to, int frame) {
    const uint32_t width = to->width / SEGMENTS;
    for (uint32_t row = 0; row < to->height; row++)
        for (uint32_t x = 0; x < width * SEGMENTS; x++)
            pixels[(OFFSET + row * to->stride) / 4 + x] = colour(frame, row, x / width);
}

int main(int argc, char **argv) {
    if (argc < 3)
        fail("reading the arguments");
    setvbuf(stdout, NULL, _IOLBF, 0);
    const struct gpu gpu = open_gpu();
    const struct output output = open_output(argv[1]);
    const struct framebuffer to = layout(&output.mode);
    VkDeviceMemory memory;
    VkBuffer buffer = make_buffer(&gpu, to.size, VK_BUFFER_USAGE_TRANSFER_DST_BIT, &memory);
    uint32_t *pixels;
    // Mesa asks for the host's memory only now.
    check(map(&gpu, memory, (void **)&pixels), "vkMapMemory");
    const uint32_t framebuffer = make_framebuffer(output.fd, &to);
    for (int frame = 0; frame < atoi(argv[2]); frame++) {
        if (argc > 3)
            draw_with_processor(pixels, &to, frame);
        else
            draw_with_vulkan(&gpu, buffer, &to, frame);
        if (frame == 0)
            set_framebuffer(&output, framebuffer);
        else if (drmModeDirtyFB(output.fd, framebuffer, NULL, 0) != 0)
            fail("telling of the picture");
    }
    printf("shown\n");
    for (;;)
        pause();
}
