/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Scanouts: which part of which resource each display shows, and what is not shown yet. */
#ifndef VGPUD_SCANOUT_H
#define VGPUD_SCANOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "device/canvas.h"
#include "device/surface.h"
#include "shared/rectangle.h"
#include "shared/state.h"

/* [python] */
struct device;

/* `resource_id` 0 disables.  -ENODEV: no such scanout; -ENOENT: no such resource; -EINVAL: an empty
 * rectangle, or outside the resource; -ENOMEM: the quota for images. */
int scanout_set(struct device *device, uint32_t scanout_id, uint32_t resource_id, uint32_t x,
                uint32_t y, uint32_t width, uint32_t height);

/* Shows a blob, `shown` in the session state's form (`resource_id` 0 disables).  Errors as for
 * scanout_set(); -ENOENT: not a blob; -EINVAL: also a surface that is not inside the blob;
 * -EOPNOTSUPP: it cannot be read; -EIO: it is lost. */
int scanout_set_blob(struct device *device, uint32_t scanout_id, const struct surface_state *shown);

/* The picture of a scanout that shows a host blob: an image, which the session keeps for the next
 * process. */
struct scanout_picture {
    uint32_t image_id;
    uint32_t width;
    uint32_t height;
    int fd; /* borrowed */
};

/* A bit for each scanout that has one. */
uint32_t scanouts_with_pictures(struct device *device);
/* -ENODEV: no such scanout, or it has none. */
int scanout_picture(struct device *device, uint32_t scanout_id, struct scanout_picture *picture);

/* Recovery: shows the picture that an earlier process has made of a host blob, which is lost, where
 * the session state says that it was shown.  Duplicates `fd`.  -ENODEV; -ENOENT: the state says
 * something else; -EINVAL: not an image of that size; -ENOMEM: a quota. */
int scanout_adopt_picture(struct device *device, uint32_t scanout_id, uint32_t width,
                          uint32_t height, int fd);

/* Brings what was drawn to where screenshots are taken from, if no flush has done so: into the
 * image of a texture that is shown from a DMA buffer, or into the blank picture of a host blob.
 * -ENODEV; -EIO: the renderer cannot. */
int scanout_read_back(struct device *device, uint32_t scanout_id);

/* There is a new display: every enabled scanout is presented whole. */
void device_repaint(struct device *device);

/* Likewise; from now on as pixels even where there is a DMA buffer, or from DMA buffers again. */
void device_show_pixels(struct device *device, int pixels);
/* [end python] */

struct scanout {
    struct surface surface;  /* what it shows */
    struct canvas *picture;  /* its own, for blobs, which have no image */
    bool as_pixels;          /* and not from a DMA buffer, for a viewer */
    bool blank;              /* nothing was copied into the picture so far */
    bool announce;           /* its size must be sent */
    bool flushed;            /* `damage` may be sent: the resource was flushed since it was set */
    struct rectangle damage; /* of the scanout, not sent yet */
};

/* Whether it is shown from the DMA buffer of its resource, and not as pixels. */
bool scanout_by_buffer(const struct scanout *scanout);

void scanout_disable(struct device *device, uint32_t scanout_id);

/* `rectangle` of the resource was flushed: every scanout that shows some of it must show it as it
 * is now. */
void scanouts_damage(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle);

/* Its size and the newest picture are sent again. */
void scanout_repaint(struct device *device, uint32_t scanout_id);

/*
 * After another process has died: a resource that was taken over is shown where it was, and
 * scanouts of one that was not are disabled.  The session state is checked as if a guest had sent
 * it.
 */
void scanouts_restore(struct device *device, uint32_t resource_id);
void scanouts_drop_lost(struct device *device);

/* Sends what had to wait and can be sent now. */
void scanouts_push(struct device *device);

#endif
