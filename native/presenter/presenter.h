/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The presenter: takes the device process's rectangles and writes them to the display socket, with
 * the cursor and the session's other messages.  It is the socket's only writer, so that messages
 * are never mixed, and it runs without the interpreter.
 */
#ifndef VGPUD_PRESENTER_H
#define VGPUD_PRESENTER_H

#include <stdint.h>

/* [python] */
struct presenter;

enum {
    PRESENTER_STOPPED = 1,
    PRESENTER_DISPLAY_CLOSED = 2, /* the display was given up; waits for the next one */
    PRESENTER_SOURCE_CLOSED = 3,  /* the device process has gone */
    PRESENTER_SOURCE_BROKEN = 4,  /* it sent a record that breaks the rules, and was cut off */
};

/* NULL: no memory or no descriptor. */
struct presenter *presenter_new(void);
/* Not while presenter_run() is in another thread. */
void presenter_free(struct presenter *presenter);

/*
 * All that follows: from any thread, 0 or -errno.
 *
 * Descriptors are duplicated; -1 is none.  A new source: what was pending from the old one is
 * dropped, after the message in progress.  A new display: no scanout is announced on it yet,
 * cursors are shown again; ask the device process to repaint after this, not before.  The old
 * display is shut down, unless it is the same socket.
 */
int presenter_set_source(struct presenter *presenter, int present_fd);
int presenter_set_display(struct presenter *presenter, int display_fd);

/*
 * Likewise, and the presenter reads the display socket too: what comes back goes to `replies_fd`, a
 * stream socket, except the replies to DMABUF_UPDATE.  When the display ends, so does `replies_fd`.
 * Without this no frame after the first is shown from a DMA buffer.
 */
int presenter_connect(struct presenter *presenter, int display_fd, int replies_fd);

/*
 * A whole message of the display protocol, sent before any pixels that are not under way yet.
 * -ENOBUFS: 64 wait already, -ENOTCONN: no display, -EINVAL: its length does not match its header.
 */
int presenter_post(struct presenter *presenter, const uint8_t *message, uint32_t length);

/* The latest wins, for each scanout.  -ENODEV: no such scanout. */
int presenter_move_cursor(struct presenter *presenter, uint32_t scanout_id, uint32_t x, uint32_t y,
                          int visible);
/* `pixels`: 64 rows of 64 pixels, B, G, R, A in memory.  Makes the cursor visible. */
int presenter_set_cursor(struct presenter *presenter, uint32_t scanout_id, uint32_t x, uint32_t y,
                         uint32_t hot_x, uint32_t hot_y, const uint8_t *pixels);
/* The device was reset: every cursor is hidden, and not shown again on a new display. */
void presenter_forget_cursors(struct presenter *presenter);

/*
 * Adds a viewer, by a view channel (view.h), until its other end is closed or it is shut down.  The
 * panorama has at most `panorama_max` bytes.  Ask the device process to repaint after this.
 * -EBUSY: too many at once.
 */
int presenter_add_viewer(struct presenter *presenter, int channel_fd, uint64_t panorama_max);

/* Makes the running presenter_run(), or the next one, return PRESENTER_STOPPED.  The display in use
 * is shut down: nothing else ends a blocked write, since a VMM can make its socket block. */
void presenter_stop(struct presenter *presenter);

/* What has been written to displays, since presenter_new(). */
struct presented {
    uint64_t updates;        /* UPDATE and DMABUF_UPDATE: frames, or bands of large ones */
    uint64_t dmabuf_updates; /* of those, the frames in DMA buffers */
    uint64_t bytes;
};
void presenter_count(struct presenter *presenter, struct presented *presented);

/*
 * Blocks, with the interpreter lock released, until one of the reasons above; when called again it
 * goes on where it was.  Without a display rectangles are consumed at once.  The process must
 * ignore SIGPIPE, as Python does.
 */
int presenter_run(struct presenter *presenter);
/* [end python] */

#endif
