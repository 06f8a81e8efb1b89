/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Preloaded into a program that shows frame after frame with page flips, so that it can be compared
 * with itself under another renderer:
 *
 *   HOLD_FRAME  that flip is its last: the program then writes "held" to the file HOLD_LOG and
 * waits HOLD_MODE   the only mode that it finds: WIDTHxHEIGHT
 *
 * Its clock goes on by 20 ms a flip and not otherwise, since what it draws may depend on the time.
 * Libraries keep the true one: they wait for things by it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>
#include <xf86drmMode.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long flips;

static int is_the_programs(void *caller) {
    Dl_info info;
    uintptr_t headers = getauxval(AT_PHDR);
    return dladdr(caller, &info) != 0 && (uintptr_t)info.dli_fbase <= headers &&
           headers - (uintptr_t)info.dli_fbase < 4096;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!is_the_programs(__builtin_return_address(0))) {
        return NEXT(clock_gettime)(clock, now);
    }
    *now = (struct timespec){.tv_sec = 1000 + flips / 50, .tv_nsec = flips % 50 * 20000000};
    return 0;
}

/* What is shown when the flip's event has come. */
static void hold(int fd) {
    struct pollfd event = {.fd = fd, .events = POLLIN};
    FILE *log;
    poll(&event, 1, -1);
    log = fopen(getenv("HOLD_LOG"), "w");
    if (log == NULL) {
        abort();
    }
    fputs("held\n", log);
    fclose(log);
    for (;;) {
        pause();
    }
}

int drmModePageFlip(int fd, uint32_t crtc, uint32_t framebuffer, uint32_t flags, void *data) {
    const char *last = getenv("HOLD_FRAME");
    int status = NEXT(drmModePageFlip)(fd, crtc, framebuffer, flags, data);
    flips += status == 0;
    if (last != NULL && flips == atol(last)) {
        hold(fd);
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
