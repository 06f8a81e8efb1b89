/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "shared/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/sealed.h"

enum { STATE_MAGIC = 0x64757067, STATE_VERSION = 3 };

int session_state_create(void) {
    int fd = sealed_memory_create("vgpud-state", sizeof(struct session_state));
    struct session_state *state;

    if (fd < 0)
        return fd;
    state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED) {
        int error = errno;
        close(fd);
        return -error;
    }
    state->magic = STATE_MAGIC;
    state->version = STATE_VERSION;
    munmap(state, sizeof(*state));
    return fd;
}

struct session_state *session_state_map(int fd) {
    struct session_state *state;

    if (sealed_memory_check(fd, sizeof(*state)) < 0)
        return NULL;
    state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED)
        return NULL;
    if (state->magic != STATE_MAGIC || state->version != STATE_VERSION) {
        session_state_unmap(state);
        return NULL;
    }
    return state;
}

void session_state_unmap(struct session_state *state) {
    if (state != NULL)
        munmap(state, sizeof(*state));
}
