/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "view/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000 };

/* The session sends at most one; a second one would be in the padding. */
static int take_descriptor(struct msghdr *message) {
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    return fd;
}

int view_channel_receive(int channel, struct view_message *message) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {&message->record, sizeof(message->record)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(channel, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (length < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (length == 0)
        return -EPIPE;
    message->fd = take_descriptor(&header);
    if (length == sizeof(message->record) && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return 1;
    if (message->fd >= 0)
        close(message->fd);
    return -EPROTO;
}

void view_channel_send(int channel, const struct view_record *record) {
    struct pollfd room = {.fd = channel, .events = POLLOUT};

    if (send(channel, record, sizeof(*record), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
        errno == EAGAIN && poll(&room, 1, PATIENCE_MS) > 0)
        (void)!send(channel, record, sizeof(*record), MSG_DONTWAIT | MSG_NOSIGNAL);
}
