/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Preloaded into a client of a vtest server: counts the command streams that it sends, in the file
 * that VTEST_STREAMS names.  Mesa writes each message's header alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { VCMD_SUBMIT_CMD = 6 };

static ssize_t (*real_write)(int fd, const void *data, size_t length);
static _Atomic uint64_t *streams;

__attribute__((constructor)) static void start(void) {
    const char *name = getenv("VTEST_STREAMS");
    int fd = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;

    real_write = dlsym(RTLD_NEXT, "write");
    if (fd >= 0) {
        void *memory = mmap(NULL, sizeof(*streams), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        streams = memory != MAP_FAILED ? memory : NULL;
        close(fd);
    }
}

ssize_t write(int fd, const void *data, size_t length) {
    const uint32_t *words = data;

    if (streams != NULL && length == 2 * sizeof(*words) && words[1] == VCMD_SUBMIT_CMD) {
        atomic_fetch_add(streams, 1);
    }
    return real_write(fd, data, length);
}
