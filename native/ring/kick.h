/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A queue's kick: the VMM's eventfd, of which nothing is believed but that writing to it wakes.
 *
 * The VMM has the same open file and may change it under us: without O_NONBLOCK a read would block
 * for ever, with EFD_SEMAPHORE the eventfd stays readable.  So it is never read, as the kernel's
 * vhost never does: an epoll descriptor that is ours alone watches it, edge-triggered, and each
 * write counts there once, whatever number the eventfd has.
 */
#ifndef VGPUD_KICK_H
#define VGPUD_KICK_H

#include <stdbool.h>

struct kick {
    int fd;    /* -1: none, the ring is to be polled */
    int epoll; /* readable when something has come that kick_wait() has not taken; -1: not open */
};

/* What has come. */
enum { KICK_CAME = 1, KICK_OTHER = 2 };

void kick_init(struct kick *kick); /* not open */
int kick_open(struct kick *kick);
void kick_close(struct kick *kick);

/* Duplicates `fd`, -1: none; one that has a number other than 0 already counts.  Or -errno, and the
 * one before stays. */
int kick_set(struct kick *kick, int fd);

/* Waits for `fd` to be readable, too, which must stay open: of somebody who is trusted. */
int kick_set_other(struct kick *kick, int fd);

static inline bool kick_given(const struct kick *kick) {
    return kick->fd >= 0;
}

/* Takes what has come: both of the above, or 0 after so many milliseconds (-1: no end), or -errno.
 * To be followed by a look at the ring. */
int kick_wait(struct kick *kick, int milliseconds);

#endif
