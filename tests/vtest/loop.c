/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "loop.h"

#include <errno.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mirror.h"

enum { PATIENCE = 600 * 1000 }; /* milliseconds: some streams take minutes in software */
enum { PIECES = 3, REQUEST_BYTES = 8192, RESPONSE_BYTES = 4096 };
enum {
    VCMD_RESOURCE_UNREF = 3,
    VCMD_SUBMIT_CMD = 6,
    VCMD_RESOURCE_BUSY_WAIT = 7,
    VCMD_RESOURCE_CREATE2 = 12,
    VCMD_TRANSFER_GET2 = 13,
    VCMD_TRANSFER_PUT2 = 14
};
enum { BUSY_WAIT_FLAG_WAIT = 1, TRANSFER2_WORDS = 10 };
/* PIPE_BUFFER, VIRGL_FORMAT_R8_UNORM, VIRGL_BIND_CUSTOM; a query's buffer has 16 bytes. */
enum { FENCE_TARGET = 0, FENCE_FORMAT = 64, FENCE_BIND = 1 << 17, FENCE_BYTES = 8 };
enum { HANDLES = 1 << 24 }; /* those beyond are never taken for a fence's */
/* Struct vcmd_resource_create2. */
struct create2 {
    uint32_t handle, target, format, bind, width, height, depth, array_size, last_level, nr_samples;
    uint32_t data_size;
};

struct bridge {
    struct bridge_config config;
    struct vring_desc *descriptors;
    struct vring_avail *available;
    struct vring_used *used;
    uint16_t next_avail, last_used;
    uint32_t slots, in_flight;
    uint32_t free[256], free_count;
    uint64_t requests, responses; /* guest addresses, one for each slot */
    uint64_t streams, streams_end, next_stream;
    uint64_t fence_id;
    uint32_t errors, last_error;
    uint8_t fences[HANDLES / 8]; /* whether a handle is one of a fence */
    struct mirrors mirrors;
};

static uint8_t *at(struct bridge *bridge, uint64_t guest_address) {
    return bridge->config.memory + (guest_address - bridge->config.guest_address);
}

struct bridge *bridge_new(const struct bridge_config *config) {
    struct bridge *bridge = calloc(1, sizeof(*bridge));
    if (bridge == NULL) {
        return NULL;
    }
    bridge->config = *config;
    bridge->descriptors = (struct vring_desc *)at(bridge, config->descriptor);
    bridge->available = (struct vring_avail *)at(bridge, config->available);
    bridge->used = (struct vring_used *)at(bridge, config->used);
    bridge->next_avail = bridge->available->idx;
    bridge->last_used = bridge->used->idx;
    bridge->slots = config->queue_size / PIECES;
    for (uint32_t slot = 0; slot < bridge->slots; slot++) {
        bridge->free[bridge->free_count++] = bridge->slots - 1 - slot;
    }
    bridge->requests = config->arena;
    bridge->responses = bridge->requests + (uint64_t)bridge->slots * REQUEST_BYTES;
    bridge->streams = bridge->responses + (uint64_t)bridge->slots * RESPONSE_BYTES;
    bridge->streams_end = config->arena + config->arena_bytes;
    bridge->next_stream = bridge->streams;
    bridge->available->flags = VRING_AVAIL_F_NO_INTERRUPT;
    return bridge;
}

void bridge_free(struct bridge *bridge) {
    mirrors_clear(&bridge->mirrors);
    free(bridge);
}

/* --- the virtqueue */

static void collect(struct bridge *bridge) {
    while (bridge->last_used != __atomic_load_n(&bridge->used->idx, __ATOMIC_ACQUIRE)) {
        uint32_t head = bridge->used->ring[bridge->last_used++ % bridge->config.queue_size].id;
        uint32_t slot = head / PIECES;
        const struct virtio_gpu_ctrl_hdr *header =
            (void *)at(bridge, bridge->responses + (uint64_t)slot * RESPONSE_BYTES);
        if (header->type >= VIRTIO_GPU_RESP_ERR_UNSPEC) {
            bridge->errors++;
            bridge->last_error = header->type;
        }
        bridge->free[bridge->free_count++] = slot;
        bridge->in_flight--;
    }
}

/* Sleeps until the device has given something back. */
static int sleep_for_used(struct bridge *bridge) {
    bridge->available->flags = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    int error = 0;
    if (bridge->last_used == __atomic_load_n(&bridge->used->idx, __ATOMIC_ACQUIRE)) {
        struct pollfd fd = {.fd = bridge->config.call_fd, .events = POLLIN};
        int ready = poll(&fd, 1, PATIENCE);
        error = ready > 0 ? 0 : ready == 0 ? -ETIMEDOUT : -errno;
        eventfd_t ignored;
        (void)!eventfd_read(bridge->config.call_fd, &ignored);
    }
    bridge->available->flags = VRING_AVAIL_F_NO_INTERRUPT;
    collect(bridge);
    return error;
}

int bridge_wait(struct bridge *bridge) {
    int error = 0;
    collect(bridge);
    while (bridge->in_flight > 0 && error == 0) {
        error = sleep_for_used(bridge);
    }
    if (error == 0) {
        mirrors_pull(&bridge->mirrors);
    }
    return error;
}

int bridge_mirror(struct bridge *bridge, uint32_t handle, int fd, uint64_t guest_address,
                  uint32_t bytes) {
    return mirrors_add(&bridge->mirrors, handle, fd, at(bridge, guest_address), bytes);
}

void bridge_forget_mirror(struct bridge *bridge, uint32_t handle) {
    mirrors_remove(&bridge->mirrors, handle);
}

static int take_slot(struct bridge *bridge, uint32_t *slot) {
    collect(bridge);
    while (bridge->free_count == 0) {
        int error = sleep_for_used(bridge);
        if (error != 0) {
            return error;
        }
    }
    *slot = bridge->free[--bridge->free_count];
    return 0;
}

static void describe(struct bridge *bridge, uint32_t index, uint64_t address, uint32_t length,
                     uint16_t flags) {
    bridge->descriptors[index] = (struct vring_desc){address, length, flags, (uint16_t)(index + 1)};
}

/* Makes a slot's request of `length` bytes available, with `stream_length` bytes of a stream behind
 * it. */
static void offer(struct bridge *bridge, uint32_t slot, uint32_t length, uint64_t stream,
                  uint32_t stream_length, uint32_t response_length) {
    uint32_t index = slot * PIECES;
    uint64_t response = bridge->responses + (uint64_t)slot * RESPONSE_BYTES;
    memset(at(bridge, response), 0, sizeof(struct virtio_gpu_ctrl_hdr));
    describe(bridge, index, bridge->requests + (uint64_t)slot * REQUEST_BYTES, length,
             VRING_DESC_F_NEXT);
    if (stream_length > 0) {
        describe(bridge, ++index, stream, stream_length, VRING_DESC_F_NEXT);
    }
    describe(bridge, ++index, response, response_length, VRING_DESC_F_WRITE);
    bridge->available->ring[bridge->next_avail++ % bridge->config.queue_size] =
        (uint16_t)(slot * PIECES);
    bridge->in_flight++;
    __atomic_store_n(&bridge->available->idx, bridge->next_avail, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((bridge->used->flags & VRING_USED_F_NO_NOTIFY) == 0) {
        (void)!eventfd_write(bridge->config.kick_fd, 1);
    }
}

int bridge_post(struct bridge *bridge, const uint8_t *request, uint32_t length) {
    uint32_t slot;
    int error = length <= REQUEST_BYTES ? take_slot(bridge, &slot) : -EMSGSIZE;
    if (error == 0) {
        memcpy(at(bridge, bridge->requests + (uint64_t)slot * REQUEST_BYTES), request, length);
        offer(bridge, slot, length, 0, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    }
    return error;
}

int bridge_ask(struct bridge *bridge, const uint8_t *request, uint32_t length, uint8_t *response,
               uint32_t response_length) {
    uint32_t slot;
    int error = length <= REQUEST_BYTES && response_length <= RESPONSE_BYTES
                    ? take_slot(bridge, &slot)
                    : -EMSGSIZE;
    if (error != 0) {
        return error;
    }
    memcpy(at(bridge, bridge->requests + (uint64_t)slot * REQUEST_BYTES), request, length);
    offer(bridge, slot, length, 0, 0, response_length);
    error = bridge_wait(bridge);
    memcpy(response, at(bridge, bridge->responses + (uint64_t)slot * RESPONSE_BYTES),
           response_length);
    return error != 0 ? error : (int)response_length;
}

uint32_t bridge_errors(const struct bridge *bridge, uint32_t *last) {
    *last = bridge->last_error;
    return bridge->errors;
}

/* --- the client */

/* 1: all of it; 0: the client has gone. */
static int receive(struct bridge *bridge, void *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t count = recv(bridge->config.client_fd, (uint8_t *)to + done, length - done, 0);
        if (count == 0 || (count < 0 && errno == ECONNRESET)) {
            return 0;
        }
        if (count < 0 && errno != EINTR) {
            return -errno;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    return 1;
}

/* Streams follow each other; at the end of the room everything in flight is waited for. */
static int stream_room(struct bridge *bridge, uint32_t length, uint64_t *stream) {
    if (bridge->next_stream + length > bridge->streams_end) {
        int error = bridge_wait(bridge);
        if (error != 0 || bridge->streams + length > bridge->streams_end) {
            return error != 0 ? error : -EMSGSIZE;
        }
        bridge->next_stream = bridge->streams;
    }
    *stream = bridge->next_stream;
    bridge->next_stream += (length + 63) & ~63u;
    return 0;
}

static int submit(struct bridge *bridge, uint32_t words) {
    uint32_t slot, length = words * 4;
    uint64_t stream;
    int error = words <= UINT32_MAX / 8 ? stream_room(bridge, length, &stream) : -EMSGSIZE;
    if (error != 0) {
        return error;
    }
    int received = receive(bridge, at(bridge, stream), length);
    if (received <= 0) {
        return received;
    }
    if ((error = take_slot(bridge, &slot)) != 0) {
        return error;
    }
    struct virtio_gpu_cmd_submit *command =
        (void *)at(bridge, bridge->requests + (uint64_t)slot * REQUEST_BYTES);
    *command = (struct virtio_gpu_cmd_submit){
        .hdr = {.type = VIRTIO_GPU_CMD_SUBMIT_3D,
                .flags = VIRTIO_GPU_FLAG_FENCE,
                .fence_id = ++bridge->fence_id,
                .ctx_id = bridge->config.ctx_id},
        .size = length,
    };
    mirrors_push(&bridge->mirrors);
    offer(bridge, slot, sizeof(*command), stream, length, sizeof(struct virtio_gpu_ctrl_hdr));
    return 1;
}

static int busy_wait(struct bridge *bridge) {
    uint32_t words[2], answer[3] = {1, VCMD_RESOURCE_BUSY_WAIT, 0};
    int received = receive(bridge, words, sizeof(words));
    if (received <= 0) {
        return received;
    }
    collect(bridge);
    if (words[1] & BUSY_WAIT_FLAG_WAIT) {
        int error = bridge_wait(bridge);
        if (error != 0) {
            return error;
        }
    }
    answer[2] = bridge->in_flight > 0;
    ssize_t sent = send(bridge->config.client_fd, answer, sizeof(answer), MSG_NOSIGNAL);
    return sent == sizeof(answer) ? 1 : 0;
}

static int transfer(struct bridge *bridge, uint32_t type) {
    uint32_t words[TRANSFER2_WORDS], slot;
    int received = receive(bridge, words, sizeof(words));
    if (received <= 0) {
        return received;
    }
    int error = take_slot(bridge, &slot);
    if (error != 0) {
        return error;
    }
    struct virtio_gpu_transfer_host_3d *command =
        (void *)at(bridge, bridge->requests + (uint64_t)slot * REQUEST_BYTES);
    *command = (struct virtio_gpu_transfer_host_3d){
        .hdr = {.type = type, .ctx_id = bridge->config.ctx_id},
        .box = {words[2], words[3], words[4], words[5], words[6], words[7]},
        .offset = words[9],
        .resource_id = words[0],
        .level = words[1],
    };
    mirrors_push(&bridge->mirrors);
    offer(bridge, slot, sizeof(*command), 0, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    if (type == VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D) {
        mirrors_written(&bridge->mirrors, words[0]);
    }
    return 1;
}

/* --- fences: 1: done; 2: the message is not one of a fence, and still to be read */

/* As receive(), and what it was can be received again. */
static int peek(struct bridge *bridge, void *to, size_t length) {
    ssize_t count;
    do {
        count = recv(bridge->config.client_fd, to, length, MSG_PEEK | MSG_WAITALL);
    } while (count < 0 && errno == EINTR);
    return count < 0 && errno != ECONNRESET ? -errno : count == (ssize_t)length;
}

static int send_fence(struct bridge *bridge) {
    uint8_t nothing = 0;
    struct iovec iov = {&nothing, 1};
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &bridge->config.fence_fd, sizeof(int));
    return sendmsg(bridge->config.client_fd, &message, MSG_NOSIGNAL) == 1;
}

static int create_fence(struct bridge *bridge) {
    struct create2 create;
    int received = peek(bridge, &create, sizeof(create));
    if (received <= 0) {
        return received;
    }
    if (create.target != FENCE_TARGET || create.format != FENCE_FORMAT ||
        create.bind != FENCE_BIND || create.data_size != FENCE_BYTES || create.handle >= HANDLES) {
        return 2;
    }
    bridge->fences[create.handle / 8] |= (uint8_t)(1 << create.handle % 8);
    received = receive(bridge, &create, sizeof(create));
    return received == 1 ? send_fence(bridge) : received;
}

static int unref_fence(struct bridge *bridge) {
    uint32_t handle;
    int received = peek(bridge, &handle, sizeof(handle));
    if (received <= 0) {
        return received;
    }
    uint8_t bit = (uint8_t)(1 << handle % 8);
    if (handle >= HANDLES || !(bridge->fences[handle / 8] & bit)) {
        return 2;
    }
    bridge->fences[handle / 8] &= (uint8_t)~bit;
    return receive(bridge, &handle, sizeof(handle));
}

/* 1: done; 2: Python's to do; 0, -errno: as receive(). */
static int serve(struct bridge *bridge, uint32_t length, uint32_t command) {
    switch (command) {
    case VCMD_SUBMIT_CMD:
        return submit(bridge, length);
    case VCMD_RESOURCE_BUSY_WAIT:
        return busy_wait(bridge);
    case VCMD_TRANSFER_GET2:
        return transfer(bridge, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D);
    case VCMD_TRANSFER_PUT2:
        return transfer(bridge, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D);
    case VCMD_RESOURCE_CREATE2:
        return create_fence(bridge);
    case VCMD_RESOURCE_UNREF:
        return unref_fence(bridge);
    default:
        return 2;
    }
}

int bridge_run(struct bridge *bridge, uint32_t *length, uint32_t *command) {
    int result;
    do {
        uint32_t header[2];
        result = receive(bridge, header, sizeof(header));
        if (result == 1) {
            *length = header[0];
            *command = header[1];
            result = serve(bridge, header[0], header[1]);
        }
    } while (result == 1);
    return result == 2 ? 1 : result;
}
