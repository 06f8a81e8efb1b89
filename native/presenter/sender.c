/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* vmsplice(), splice(), pipe2() */
#include "presenter/sender.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/rights.h"

/*
 * Measured with a reader in another process: half of this costs a tenth of the frame rate; twice as
 * much gains nothing, and a cursor move would wait behind it.  The kernel doubles the number.
 */
enum { SEND_BUFFER = 1 << 20 };

/*
 * A pipe of 64 KiB, as many pages as one of the socket's buffers takes, costs a fifth more
 * processor time for a frame of 1080p or 4K than one of 1 MiB, since both ends count the pages'
 * users sixteen times as often.  But the kernel counts a user's pages (fs.pipe-user-pages-soft), so
 * it is large while frames go through it only, and where the kernel has no more, small.
 */
enum { PIPE_RESTING = 64 << 10, PIPE_MOVING = 1 << 20 };

static void forget_message(struct sender *sender) {
    sender->piped = 0;
    sender->written = sender->spliced = 0;
    sender->first = sender->count = 0;
    sender->pages = (struct iovec){NULL, 0};
    sender->rows_left = 0;
    sender->descriptor = -1;
}

static void open_pipe(struct sender *sender) {
    if (pipe2(sender->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        sender->pipe[0] = sender->pipe[1] = -1;
    else
        fcntl(sender->pipe[1], F_SETPIPE_SZ, PIPE_RESTING);
}

/* The next display must not get what the previous one has not taken. */
static void drain_pipe(struct sender *sender) {
    char scrap[1 << 14];

    while (sender->piped > 0) {
        ssize_t got = read(sender->pipe[0], scrap, sizeof(scrap));
        if (got <= 0)
            break;
        sender->piped -= (size_t)got;
    }
}

/* Here and not for each display: a session cannot make pipes once it is confined. */
void sender_init(struct sender *sender) {
    *sender = (struct sender){.fd = -1, .descriptor = -1};
    open_pipe(sender);
}

static void set_send_buffer(int fd) {
    int size = SEND_BUFFER;

    /* Beyond net.core.wmem_max only with CAP_NET_ADMIN; a smaller one is only slower. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

void sender_use(struct sender *sender, int fd) {
    if (sender->fd >= 0)
        close(sender->fd);
    drain_pipe(sender);
    forget_message(sender);
    sender->fd = fd;
    if (fd < 0)
        return;
    /* splice() to a socket heeds only this, not its own flag: see outbox_give(). */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    set_send_buffer(fd);
}

void sender_destroy(struct sender *sender) {
    sender_use(sender, -1);
    if (sender->pipe[0] < 0)
        return;
    close(sender->pipe[0]);
    close(sender->pipe[1]);
}

bool sender_has_room(const struct sender *sender, unsigned parts) {
    return sender->count + parts <= SENDER_PARTS;
}

void sender_add(struct sender *sender, const void *bytes, size_t length) {
    sender->parts[sender->count++] = (struct iovec){(void *)(uintptr_t)bytes, length};
}

void sender_add_descriptor(struct sender *sender, int descriptor) {
    sender->descriptor = descriptor;
}

static void grow_pipe(struct sender *sender) {
    if (!sender->grown)
        sender->grown = fcntl(sender->pipe[1], F_SETPIPE_SZ, PIPE_MOVING) == PIPE_MOVING;
}

void sender_rest(struct sender *sender) {
    if (sender->grown && sender->piped == 0)
        sender->grown = fcntl(sender->pipe[1], F_SETPIPE_SZ, PIPE_RESTING) < 0;
}

void sender_add_pages(struct sender *sender, const uint8_t *bytes, size_t length) {
    if (length > PIPE_RESTING)
        grow_pipe(sender);
    sender->pages = (struct iovec){(void *)(uintptr_t)bytes, length};
}

void sender_add_rows(struct sender *sender, const uint8_t *row, size_t length, size_t stride,
                     uint32_t rows) {
    sender->row = row;
    sender->row_length = length;
    sender->row_stride = stride;
    sender->rows_left = rows;
}

bool sender_idle(const struct sender *sender) {
    return sender->count == 0 && sender->pages.iov_len == 0 && sender->piped == 0 &&
           sender->rows_left == 0;
}

/* A lack of memory, or of descriptors that may be under way, counts as a full socket: it is tried
 * again. */
static int failure(void) {
    switch (errno) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
    case ENOMEM:
    case ETOOMANYREFS:
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
        union rights rights;
        if (sender->descriptor >= 0)
            rights_attach(&message, &rights, sender->descriptor);
        ssize_t sent = sendmsg(sender->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return failure();
        sender->descriptor = -1;
        advance(sender, (size_t)sent);
    }
    return 1;
}

static int fill_pipe(struct sender *sender) {
    ssize_t given = vmsplice(sender->pipe[1], &sender->pages, 1, SPLICE_F_NONBLOCK);

    if (given < 0)
        return failure();
    sender->pages.iov_base = (uint8_t *)sender->pages.iov_base + given;
    sender->pages.iov_len -= (size_t)given;
    sender->piped = (size_t)given;
    return 1;
}

static int empty_pipe(struct sender *sender) {
    ssize_t sent = splice(sender->pipe[0], NULL, sender->fd, NULL, sender->piped,
                          SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (sent < 0)
        return failure();
    sender->piped -= (size_t)sent;
    sender->written += (uint64_t)sent;
    sender->spliced = sender->written;
    return 1;
}

/*
 * Sends the pages themselves, through a pipe, as splice() needs.  Measured, a frame takes a fifth
 * less processor time in that way, the reader's included, than with sendfile() or send().  The
 * process must ignore SIGPIPE, as Python does: there is no flag here.
 */
static int write_pages(struct sender *sender) {
    int written = 1;

    if (sender->pages.iov_len > 0 && sender->pipe[0] < 0) {
        sender_add(sender, sender->pages.iov_base, sender->pages.iov_len);
        sender->pages.iov_len = 0;
        return write_parts(sender);
    }
    while (written == 1 && (sender->piped > 0 || sender->pages.iov_len > 0))
        written = sender->piped > 0 ? empty_pipe(sender) : fill_pipe(sender);
    return written;
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
        written = write_pages(sender);
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
    /* The kernel includes its own overhead, so the number is never less than the payload. */
    return sender->written - position >= (uint64_t)unread || unread == 0;
}
