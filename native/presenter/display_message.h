/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The messages of QEMU's vhost-user-gpu display socket that the session writes without Python:
 * scanouts, pixels and the cursor.  Names and numbers are those of QEMU's "Vhost-user-gpu
 * Protocol"; everything is native endian.
 */
#ifndef VGPUD_DISPLAY_MESSAGE_H
#define VGPUD_DISPLAY_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

enum {
    DISPLAY_SET_PROTOCOL_FEATURES = 2,
    DISPLAY_CURSOR_POS = 4,
    DISPLAY_CURSOR_POS_HIDE = 5,
    DISPLAY_CURSOR_UPDATE = 6,
    DISPLAY_SCANOUT = 7,
    DISPLAY_UPDATE = 8,
    DISPLAY_DMABUF_SCANOUT = 9,
    DISPLAY_DMABUF_UPDATE = 10,
    DISPLAY_DMABUF_SCANOUT2 = 12, /* with DISPLAY_FEATURE_DMABUF2 */
};

enum { DISPLAY_FEATURE_DMABUF2 = 1 << 1 };

enum { DISPLAY_SCANOUTS = 16, DISPLAY_CURSOR_PIXELS = 64 * 64 };

/* `size` counts what follows the header. */
struct display_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
};

struct display_scanout {
    struct display_header header;
    uint32_t scanout_id;
    uint32_t width;
    uint32_t height;
};

/* Followed by width * height pixels of 4 bytes. */
struct display_update {
    struct display_header header;
    uint32_t scanout_id;
    uint32_t x;
    uint32_t y;
    uint32_t width;
    uint32_t height;
};

/* The buffer is attached; without one the scanout is disabled.  It has no reply. */
struct display_dmabuf_scanout {
    struct display_header header;
    uint32_t scanout_id;
    uint32_t x; /* the part of the buffer that is shown; QEMU uses only the size */
    uint32_t y;
    uint32_t width;
    uint32_t height;
    uint32_t fd_width;
    uint32_t fd_height;
    uint32_t fd_stride;
    uint32_t fd_flags;
    uint32_t fd_drm_fourcc;
} __attribute__((packed, aligned(4)));

struct display_dmabuf_scanout2 {
    struct display_dmabuf_scanout scanout;
    uint64_t modifier;
} __attribute__((packed, aligned(4)));

/* A DMABUF_UPDATE is a display_update without pixels, answered by a reply without payload. */

struct display_cursor_pos {
    struct display_header header;
    uint32_t scanout_id;
    uint32_t x;
    uint32_t y;
};

struct display_cursor_update {
    struct display_cursor_pos position;
    uint32_t hot_x;
    uint32_t hot_y;
    uint32_t pixels[DISPLAY_CURSOR_PIXELS];
};

_Static_assert(sizeof(struct display_header) == 12, "the protocol's header");
_Static_assert(sizeof(struct display_scanout) == 12 + 12, "SCANOUT");
_Static_assert(sizeof(struct display_update) == 12 + 20, "UPDATE without its pixels");
_Static_assert(sizeof(struct display_dmabuf_scanout) == 12 + 40, "DMABUF_SCANOUT");
_Static_assert(sizeof(struct display_dmabuf_scanout2) == 12 + 48, "DMABUF_SCANOUT2");
_Static_assert(sizeof(struct display_cursor_pos) == 12 + 12, "CURSOR_POS");
_Static_assert(sizeof(struct display_cursor_update) == 12 + 16404, "CURSOR_UPDATE");

static inline struct display_header display_header(uint32_t request, size_t message_size) {
    return (struct display_header){
        .request = request,
        .size = (uint32_t)(message_size - sizeof(struct display_header)),
    };
}

#endif
