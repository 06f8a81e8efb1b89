/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a vtest bridge does for every frame, in C, so that the bridge does not show in a benchmark:
 * command streams, transfers, fences and waiting.  What happens once for a resource returns to
 * Python.
 *
 * A fence of Mesa's vtest driver is a buffer of 8 bytes, one for each frame, that no stream names
 * and nobody writes to: the driver only asks whether it is busy, which is answered by the fences of
 * virtio-gpu.  So the device never hears of these buffers, as it does not with a kernel's driver,
 * whose fences are the kernel's.
 */
#ifndef VTEST_LOOP_H
#define VTEST_LOOP_H

#include <stdint.h>

/* [python] */
struct bridge;

/* A split virtqueue in one piece of guest memory, and the rest of that memory for command streams.
 * All addresses are guest addresses; `memory` is where `guest_address` is mapped.  Nobody else may
 * use the queue any more. */
struct bridge_config {
    int client_fd;
    uint8_t *memory;
    uint64_t guest_address, memory_bytes;
    uint64_t descriptor, available, used;
    uint32_t queue_size;
    int kick_fd, call_fd;
    uint64_t arena, arena_bytes;
    uint32_t ctx_id;
    int fence_fd; /* memory for all fences of the client */
};

struct bridge *bridge_new(const struct bridge_config *config);
void bridge_free(struct bridge *bridge);

/* Serves the client until something comes that Python does: 1, and the header of that message; 0:
 * the client has gone; or -errno. */
int bridge_run(struct bridge *bridge, uint32_t *length, uint32_t *command);

/* Sends a command and does not wait. */
int bridge_post(struct bridge *bridge, const uint8_t *request, uint32_t length);
/* Sends a command and waits for it and all before it; returns the length of the response, of at
 * most 4096 bytes. */
int bridge_ask(struct bridge *bridge, const uint8_t *request, uint32_t length, uint8_t *response,
               uint32_t response_length);
/* Keeps a copy of a resource's memory, which is mapped from `fd`, at a guest address; 0 or -errno.
 * And no longer. */
int bridge_mirror(struct bridge *bridge, uint32_t handle, int fd, uint64_t guest_address,
                  uint32_t bytes);
void bridge_forget_mirror(struct bridge *bridge, uint32_t handle);
/* Waits until nothing is in flight. */
int bridge_wait(struct bridge *bridge);
/* How many commands were answered with an error, and the type of the last such response. */
uint32_t bridge_errors(const struct bridge *bridge, uint32_t *last);
/* [end python] */

#endif
