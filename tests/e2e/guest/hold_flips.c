/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Frames of a program that shows them itself, with page flips. */
#define _GNU_SOURCE
#include "hold.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <xf86drmMode.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int drmModePageFlip(int fd, uint32_t crtc, uint32_t framebuffer, uint32_t flags, void *data) {
    int status = NEXT(drmModePageFlip)(fd, crtc, framebuffer, flags, data);
    if (status == 0 && is_last_frame()) {
        /* What is shown when the flip's event has come. */
        struct pollfd event = {.fd = fd, .events = POLLIN};
        poll(&event, 1, -1);
        hold();
    }
    return status;
}

drmModeConnectorPtr drmModeGetConnector(int fd, uint32_t connector) {
    const char *wanted = getenv("HOLD_MODE");
    drmModeConnectorPtr found = NEXT(drmModeGetConnector)(fd, connector);
    for (int i = 0; found != NULL && wanted != NULL && i < found->count_modes; i++) {
        if (strcmp(found->modes[i].name, wanted) == 0) {
            found->modes[0] = found->modes[i];
            found->count_modes = 1;
        }
    }
    return found;
}
