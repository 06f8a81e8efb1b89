/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Puts one message (or several in a row) on the display socket without blocking: bytes that are
 * copied, then pages that are handed over without a copy, then rows that are copied.  If the VMM
 * has cleared O_NONBLOCK on its socket, sending pages blocks in the kernel while the display reads
 * nothing; shutting the socket down ends that.
 *
 * Nothing is copied at once: the caller keeps everything until the sender is idle again, and pages
 * longer, see sender_consumed().
 */
#ifndef VGPUD_SENDER_H
#define VGPUD_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { SENDER_PARTS = 256 };

struct sender {
    int fd;           /* -1: no display */
    int pipe[2];      /* through which pages go into the socket; -1: they are copied */
    bool grown;       /* it takes more than at rest */
    size_t piped;     /* bytes in it */
    uint64_t written; /* bytes, to this socket so far */
    uint64_t spliced; /* where the last byte that was not copied ends */

    struct iovec parts[SENDER_PARTS];
    unsigned first, count;
    struct iovec pages;
    const uint8_t *row;
    int descriptor; /* goes with the first byte of the parts, -1: none */
    size_t row_length, row_stride;
    uint32_t rows_left;
};

void sender_init(struct sender *sender);
void sender_destroy(struct sender *sender);

/* Takes `fd` over, closes the previous one and forgets what was not sent to it. */
void sender_use(struct sender *sender, int fd);

/* What follows is sent in this order: parts, pages, rows. */
bool sender_has_room(const struct sender *sender, unsigned parts);
void sender_add(struct sender *sender, const void *bytes, size_t length);
/* Attached to the first part, which comes next; open until the sender is idle. */
void sender_add_descriptor(struct sender *sender, int descriptor);
void sender_add_pages(struct sender *sender, const uint8_t *bytes, size_t length);
void sender_add_rows(struct sender *sender, const uint8_t *row, size_t length, size_t stride,
                     uint32_t rows);

bool sender_idle(const struct sender *sender);

/* Gives back what only frames that follow each other need: `grown` says whether there is any. */
void sender_rest(struct sender *sender);

/* 1: everything is on its way; 0: the socket is full; -errno: the peer has gone. */
int sender_write(struct sender *sender);

/*
 * Whether the peer has taken everything before `position` of the stream out of the socket.  Pages
 * are live until then: what is drawn in them shows.
 */
bool sender_consumed(const struct sender *sender, uint64_t position);

#endif
