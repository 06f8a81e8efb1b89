/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "sender.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Measured with a reader in another process: half of it costs a tenth of the frame rate, twice as
 * much gains nothing and a cursor's move would wait behind it.  The kernel doubles the number.
 */
enum { SEND_BUFFER = 1 << 20 };

void sender_init(struct sender *sender) {
    *sender = (struct sender){.fd = -1, .file = -1};
}

static size_t send_buffer(int fd) {
    int size = SEND_BUFFER;
    socklen_t length = sizeof(size);

    /* Beyond net.core.wmem_max only with CAP_NET_ADMIN; less is slower and nothing worse. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length) < 0 || size < 0)
        return 0;
    return (size_t)size;
}

void sender_use(struct sender *sender, int fd) {
    if (sender->fd >= 0)
        close(sender->fd);
    sender_init(sender);
    sender->fd = fd;
    if (fd < 0)
        return;
    /* sendfile() has no flag for it. */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    /* A Unix socket is writable when at most a quarter of its buffer is in use (unix_writable() in
     * Linux). */
    sender->tail = send_buffer(fd) / 4;
}

bool sender_has_room(const struct sender *sender, unsigned parts) {
    return sender->count + parts <= SENDER_PARTS;
}

void sender_add(struct sender *sender, const void *bytes, size_t length) {
    sender->parts[sender->count++] = (struct iovec){(void *)(uintptr_t)bytes, length};
}

void sender_add_file(struct sender *sender, int file, off_t offset, size_t length) {
    sender->file = file;
    sender->file_offset = offset;
    sender->file_left = length;
}

void sender_add_rows(struct sender *sender, const uint8_t *row, size_t length, size_t stride,
                     uint32_t rows) {
    sender->row = row;
    sender->row_length = length;
    sender->row_stride = stride;
    sender->rows_left = rows;
}

bool sender_idle(const struct sender *sender) {
    return sender->count == 0 && sender->file_left == 0 && sender->rows_left == 0;
}

/* Short of memory for the moment counts as full: it is asked again. */
static int failure(void) {
    switch (errno) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
    case ENOMEM:
        return 0;
    default:
        return -errno;
    }
}

static void advance(struct sender *sender, size_t length) {
    struct iovec *part = &sender->parts[sender->first];

    sender->written += length;
    while (sender->first < sender->count && length >= part->iov_len) {
        length -= part->iov_len;
        part = &sender->parts[++sender->first];
    }
    if (sender->first == sender->count) {
        sender->first = sender->count = 0;
        return;
    }
    part->iov_base = (uint8_t *)part->iov_base + length;
    part->iov_len -= length;
}

static int write_parts(struct sender *sender) {
    while (sender->count > 0) {
        struct msghdr message = {.msg_iov = &sender->parts[sender->first],
                                 .msg_iovlen = sender->count - sender->first};
        ssize_t sent = sendmsg(sender->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return failure();
        advance(sender, (size_t)sent);
    }
    return 1;
}

/* From Linux 6.5 on the pages go over uncopied.  The process must ignore SIGPIPE, as Python does:
 * no flag here. */
static int write_file(struct sender *sender) {
    while (sender->file_left > 0) {
        ssize_t sent = sendfile(sender->fd, sender->file, &sender->file_offset, sender->file_left);
        if (sent < 0)
            return failure();
        if (sent == 0) /* the file ended: its seals say that it cannot */
            return -EIO;
        sender->file_left -= (size_t)sent;
        sender->written += (uint64_t)sent;
        sender->spliced = sender->written;
    }
    return 1;
}

static void take_rows(struct sender *sender) {
    while (sender->rows_left > 0 && sender_has_room(sender, 1)) {
        sender_add(sender, sender->row, sender->row_length);
        sender->rows_left--;
        if (sender->rows_left > 0) /* no pointer beyond the last row */
            sender->row += sender->row_stride;
    }
}

int sender_write(struct sender *sender) {
    int written = write_parts(sender);
    if (written == 1)
        written = write_file(sender);
    while (written == 1 && sender->rows_left > 0) {
        take_rows(sender);
        written = write_parts(sender);
    }
    return written;
}

bool sender_consumed(const struct sender *sender, uint64_t position) {
    int unread = 0;

    if (sender->fd < 0 || position == 0)
        return true;
    if (ioctl(sender->fd, SIOCOUTQ, &unread) < 0 || unread < 0)
        return false;
    /* The kernel counts its own overhead in, never less than the payload. */
    return sender->written - position >= (uint64_t)unread || unread == 0;
}
