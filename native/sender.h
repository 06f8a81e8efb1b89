/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Puts one message (or several in a row) on the display socket without ever blocking: bytes that
 * are copied, then a piece of a file that is handed over without a copy, then rows that are copied.
 *
 * Nothing given is copied at once: it stays the caller's and must live until the sender is idle
 * again.
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
    size_t tail;      /* see sender_consumed() */
    uint64_t written; /* bytes of this socket's stream so far */
    uint64_t spliced; /* where in the stream the last byte that was not copied ends */

    struct iovec parts[SENDER_PARTS];
    unsigned first, count;
    int file;
    off_t file_offset;
    size_t file_left;
    const uint8_t *row;
    size_t row_length, row_stride;
    uint32_t rows_left;
};

void sender_init(struct sender *sender);

/* Takes `fd` over, closing the one before and forgetting what it was still to send. */
void sender_use(struct sender *sender, int fd);

/* What follows is sent in this order: parts, file, rows. */
bool sender_has_room(const struct sender *sender, unsigned parts);
void sender_add(struct sender *sender, const void *bytes, size_t length);
void sender_add_file(struct sender *sender, int file, off_t offset, size_t length);
void sender_add_rows(struct sender *sender, const uint8_t *row, size_t length, size_t stride,
                     uint32_t rows);

bool sender_idle(const struct sender *sender);

/* 1: everything is on its way; 0: the socket is full; -errno: the peer has gone. */
int sender_write(struct sender *sender);

/*
 * Whether the peer has taken everything before `position` of the stream out of the socket.  Pages
 * given by sendfile() are live until then.  After `tail` more bytes have been written, poll() says
 * POLLOUT no earlier than that, so nobody needs to ask again and again.
 */
bool sender_consumed(const struct sender *sender, uint64_t position);

#endif
