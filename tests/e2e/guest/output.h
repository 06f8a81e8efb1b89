// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// The guest's screen, as a program of its own has it.
#pragma once

#include <stdint.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

struct output {
    int fd;
    uint32_t connector, crtc;
    drmModeModeInfo mode;
};

// Ends the program, which says what failed.
void fail(const char *what);

// The first connected one that has that mode, such as 640x480.
struct output open_output(const char *mode);

void set_framebuffer(const struct output *output, uint32_t framebuffer);
