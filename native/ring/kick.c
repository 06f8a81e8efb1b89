/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/kick.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 4 }; /* taken at a time; more stay until the next call */

void kick_init(struct kick *kick) {
    kick->fd = kick->epoll = -1;
}

int kick_open(struct kick *kick) {
    kick->epoll = epoll_create1(EPOLL_CLOEXEC);
    return kick->epoll < 0 ? -errno : 0;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void kick_close(struct kick *kick) {
    close_fd(&kick->epoll);
    close_fd(&kick->fd);
}

static int watch(struct kick *kick, int fd, uint32_t events, uint32_t what) {
    struct epoll_event event = {.events = events, .data.u32 = what};

    return epoll_ctl(kick->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void drop(struct kick *kick) {
    if (kick->fd < 0)
        return;
    /* Others have the same open file, so closing it here would not remove it from the set. */
    epoll_ctl(kick->epoll, EPOLL_CTL_DEL, kick->fd, NULL);
    close_fd(&kick->fd);
}

int kick_set(struct kick *kick, int fd) {
    int copy = -1, error;

    if (fd >= 0) {
        /* The copy stays open: KVM writes into an eventfd that the VMM itself may have closed. */
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
            return -errno;
        error = watch(kick, copy, EPOLLIN | EPOLLET, KICK_CAME);
        if (error < 0) {
            close(copy);
            return error;
        }
    }
    drop(kick);
    kick->fd = copy;
    return 0;
}

int kick_set_other(struct kick *kick, int fd) {
    return watch(kick, fd, EPOLLIN, KICK_OTHER);
}

int kick_wake_by(struct kick *kick, int fd) {
    return watch(kick, fd, EPOLLIN | EPOLLET, KICK_WOKEN);
}

int kick_wait(struct kick *kick, int milliseconds) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(kick->epoll, events, EVENTS, milliseconds);
    int came = 0;

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    while (count > 0)
        came |= (int)events[--count].data.u32;
    return came;
}
