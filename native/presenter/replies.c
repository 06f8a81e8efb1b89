/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "presenter/replies.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_BYTES = 4096, PAYLOAD_MAX = 4096 };

void replies_init(struct replies *replies) {
    *replies = (struct replies){.fd = -1};
}

void replies_use(struct replies *replies, int fd) {
    if (replies->fd >= 0)
        close(replies->fd);
    replies_init(replies);
    replies->fd = fd;
}

/* Whoever asks leaves room for the answers; no room means that nobody has asked. */
static int pass_on(const struct replies *replies, const void *bytes, size_t length) {
    ssize_t sent = send(replies->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);

    return sent == (ssize_t)length ? 0 : -EPROTO;
}

static bool of_frame(const struct replies *replies) {
    return replies->header.request == DISPLAY_DMABUF_UPDATE;
}

/* 1: a frame was shown. */
static int begin(struct replies *replies) {
    replies->received = 0;
    replies->left = replies->header.size;
    if (of_frame(replies))
        return replies->left <= PAYLOAD_MAX ? 1 : -EPROTO;
    if (pass_on(replies, &replies->header, sizeof(replies->header)) < 0)
        return -EPROTO;
    return replies->left <= PAYLOAD_MAX ? 0 : -EPROTO;
}

static uint32_t least(size_t one, uint32_t other) {
    return one < other ? (uint32_t)one : other;
}

/* Takes some of the bytes, and returns how many. */
static uint32_t take(struct replies *replies, const uint8_t *bytes, size_t length, int *result) {
    uint32_t taken;

    *result = 0;
    if (replies->left > 0) {
        taken = least(length, replies->left);
        replies->left -= taken;
        if (!of_frame(replies))
            *result = pass_on(replies, bytes, taken);
        return taken;
    }
    taken = least(length, (uint32_t)sizeof(replies->header) - replies->received);
    memcpy((uint8_t *)&replies->header + replies->received, bytes, taken);
    replies->received += taken;
    if (replies->received == sizeof(replies->header))
        *result = begin(replies);
    return taken;
}

int replies_receive(struct replies *replies, int display) {
    uint8_t bytes[RECEIVE_BYTES];
    ssize_t length = recv(display, bytes, sizeof(bytes), MSG_DONTWAIT);
    int frames = 0, result;

    if (length < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (length == 0)
        return -EPIPE;
    for (size_t done = 0; done < (size_t)length;) {
        done += take(replies, bytes + done, (size_t)length - done, &result);
        if (result < 0)
            return result;
        frames += result;
    }
    return frames;
}
