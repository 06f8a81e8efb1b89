/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/idle.h"

#include <time.h>

#include "device/device.h"

/*
 * In nanoseconds.  A sleep and a wake-up cost 5 to 40 µs, so spinning longer never pays.  A look
 * takes far less than JUMP: when more has passed, another thread had this processor meanwhile, and
 * we must not hold on to it.
 */
enum { SPIN_FIRST = 10000, SPIN_MOST = 40000, JUMP = 10000, YIELD = 20000000, LOOKS = 8 };

static uint64_t now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void idle_begin(struct device *device) {
    device->patience.idle_since = now();
}

bool idle_pays(const struct device *device) {
    const struct patience *patience = &device->patience;

    return patience->spin != 0 && patience->idle_since >= patience->yield_until;
}

bool idle_spin(struct device *device) {
    struct patience *patience = &device->patience;
    uint64_t before, time;

    idle_begin(device);
    if (!idle_pays(device))
        return false;
    time = patience->idle_since;
    while (time < patience->idle_since + patience->spin) {
        for (int look = 0; look < LOOKS; look++) {
            if (queue_has_available(&device->queue))
                return true;
            relax();
        }
        before = time;
        time = now();
        if (time - before > JUMP) {
            patience->yield_until = time + YIELD;
            return false;
        }
    }
    return false;
}

void idle_kicked(struct device *device) {
    struct patience *patience = &device->patience;
    uint64_t idle = now() - patience->idle_since;

    if (idle > SPIN_MOST)
        patience->spin = 0;
    else if (patience->spin == 0)
        patience->spin = SPIN_FIRST;
    else
        patience->spin = patience->spin < SPIN_MOST / 2 ? 2 * patience->spin : SPIN_MOST;
}
