/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* One descriptor with the bytes of a message (SCM_RIGHTS). */
#ifndef VGPUD_RIGHTS_H
#define VGPUD_RIGHTS_H

#include <string.h>
#include <sys/socket.h>

union rights {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
};

/* `rights` must live until the message is sent. */
static inline void rights_attach(struct msghdr *message, union rights *rights, int fd) {
    struct cmsghdr *header;

    *rights = (union rights){0};
    message->msg_control = rights->bytes;
    message->msg_controllen = sizeof(rights->bytes);
    header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
}

#endif
