/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* clang-format off */
/*
 * The present channel: how the device process tells the presenter (in the session) what to show,
 * and hears when memory may be used again.  A SOCK_SEQPACKET socketpair; a packet has one to
 * PRESENT_PACKET present_records, in order, and what is attached belongs to its first.  Both ends
 * are non-blocking, and the presenter trusts no field.
 *
 * Device process → presenter
 *   PRESENT_STAGING   the first record; a memfd of PRESENT_STAGING_BYTES is attached (sealed
 *                     against growing and shrinking)
 *   PRESENT_SCANOUT   the scanout's size changed; width 0: it is disabled
 *   PRESENT_STAGED    pixels in the staging ring: `position` counts bytes from the beginning of
 *                     time, they lie at position % PRESENT_STAGING_BYTES in one piece, rows
 *                     without gaps.  Positions only grow, and may skip what was left at the ring's
 *                     end
 *   PRESENT_IMAGE     pixels in a slot of an image (image.h); the slot does not change until the
 *                     record is released.  The image's memfd is attached to the first record that
 *                     names it, and to the first after a PRESENT_FORGET
 *   PRESENT_FORGET    the image will not be named again; what was sent of it stays valid until
 *                     released.  At most PRESENT_IMAGES are known at a time
 *   PRESENT_BUFFER    the scanout shows the whole of a DMA buffer, which is attached
 *                     (struct present_buffer); until a SCANOUT, STAGED or IMAGE of it comes
 *   PRESENT_DAMAGE    that rectangle of the scanout's DMA buffer was drawn.  Never answered: the
 *                     presenter merges what a display does not keep up with
 *
 * Presenter → device process, a record a packet
 *   PRESENT_CONSUMED  everything staged before `position` has been read: that of the last record
 *                     that was dealt with plus its bytes.  May lag behind, but not by more than a
 *                     quarter of the ring once there is nothing left to do
 *   PRESENT_RELEASED  a PRESENT_IMAGE record sent back with this kind, exactly once for each
 */
/* clang-format on */
#ifndef VGPUD_PRESENT_H
#define VGPUD_PRESENT_H

#include <stdint.h>

enum {
    PRESENT_STAGING = 1,
    PRESENT_SCANOUT,
    PRESENT_STAGED,
    PRESENT_IMAGE,
    PRESENT_FORGET,
    PRESENT_CONSUMED,
    PRESENT_RELEASED,
    PRESENT_BUFFER,
    PRESENT_DAMAGE,
};

enum {
    PRESENT_STAGING_BYTES = 4 << 20,
    PRESENT_STAGED_MAX = 256 << 10, /* a larger rectangle goes by reference */
    PRESENT_OUTSTANDING = 2,        /* PRESENT_IMAGE records not yet released, for each scanout */
    PRESENT_IMAGES = 64,
    PRESENT_PACKET = 8, /* records: each packet takes far more kernel memory than a record has */
};

/* All in pixels.  PRESENT_STAGED and PRESENT_IMAGE: x, y, width, height lie inside the scanout,
 * whose size each record repeats. */
struct present_record {
    uint32_t kind;
    uint32_t scanout_id;
    uint32_t scanout_width, scanout_height;
    uint32_t x, y, width, height;
    uint32_t image_id; /* never used twice by one device process; not the resource_id */
    uint32_t slot;
    uint32_t source_x, source_y; /* where in the image the rectangle begins */
    uint32_t image_width, image_height;
    uint64_t position;
};

/* A record of PRESENT_BUFFER.  One plane that begins at the first byte; `fourcc` and `modifier` are
 * DRM's, the latter PRESENT_NO_MODIFIER where the driver itself knows it. */
struct present_buffer {
    uint32_t kind;
    uint32_t scanout_id;
    uint32_t width, height; /* of the buffer and of the scanout, in pixels */
    uint32_t stride;        /* bytes */
    uint32_t fourcc;
    uint32_t flags; /* PRESENT_Y_0_TOP */
    uint32_t reserved[7];
    uint64_t modifier;
};

enum { PRESENT_Y_0_TOP = 1 };
#define PRESENT_NO_MODIFIER 0x00ffffffffffffffull /* DRM_FORMAT_MOD_INVALID */

_Static_assert(sizeof(struct present_record) == 64, "one cache line");
_Static_assert(sizeof(struct present_buffer) == sizeof(struct present_record), "read as one");

#endif
