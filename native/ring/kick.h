/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A queue's kick: the VMM's eventfd, of which we trust only that writing to it wakes us.
 *
 * The VMM has the same open file and may change it at any time: without O_NONBLOCK a read would
 * block for ever, with EFD_SEMAPHORE the eventfd stays readable.  So it is never read, as the
 * kernel's vhost never does.  Our own epoll descriptor watches it, edge-triggered, and each write
 * counts once there, whatever number the eventfd has.
 */
#ifndef VGPUD_KICK_H
#define VGPUD_KICK_H

#include <stdbool.h>

struct kick {
    int fd;    /* -1: none, the ring has to be polled */
    int epoll; /* readable when there is something that kick_wait() has not taken; -1: not open */
};

/* What has come: of kick_set(), kick_set_other() and kick_wake_by(). */
enum { KICK_CAME = 1, KICK_OTHER = 2, KICK_WOKEN = 4 };

void kick_init(struct kick *kick); /* not open */
int kick_open(struct kick *kick);
void kick_close(struct kick *kick);

/* Duplicates `fd`, -1: none; an eventfd that is not 0 counts as a kick.  Or -errno, and the
 * previous one stays. */
int kick_set(struct kick *kick, int fd);

/* Also waits for `fd` to be readable, which must stay open: only for a trusted descriptor. */
int kick_set_other(struct kick *kick, int fd);

/* Also wakes each time that `fd` becomes readable, and not again while it stays so: the caller
 * looks there before it waits.  As above, only for a trusted descriptor. */
int kick_wake_by(struct kick *kick, int fd);

static inline bool kick_given(const struct kick *kick) {
    return kick->fd >= 0;
}

/* Takes what has come: some of the above, or 0 after that many milliseconds (-1: no end), or
 * -errno.  The caller must look at the ring next. */
int kick_wait(struct kick *kick, int milliseconds);

#endif
