/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The quotas for images: memory, and descriptors, which host blobs take too.
 *
 * An image counts its header and one slot.  One that is shown may be written in every slot, so it
 * counts IMAGE_SLOTS of them from its first scanout on.  It still does while hidden, until another
 * image needs the memory: otherwise flips would give it back and take it again.
 */
#ifndef VGPUD_IMAGES_H
#define VGPUD_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

struct canvas;
struct device;
struct resource;

/* A new process begins without images. */
void images_start(struct device *device);

/* How much the resource's image counts, in bytes. */
uint64_t images_charge(const struct resource *resource);

/* Whether `bytes` more are within the quota, if need be after taking spare slots from images that
 * are not shown. */
bool images_make_room(struct device *device, uint64_t bytes);

/* Counts bytes of host memory of an image or a texture; or stops counting them. */
void images_take(struct device *device, uint64_t bytes);
void images_give(struct device *device, uint64_t bytes);

/*
 * Whether there may be one more object that holds a descriptor; counts one; or stops counting it.
 */
bool images_descriptor_left(struct device *device);
void images_take_descriptor(struct device *device);
void images_give_descriptor(struct device *device);

/* Whether there may be one more image of that size: its memory, and a descriptor in each of the
 * machine's two processes. */
bool images_fit(struct device *device, uint32_t width, uint32_t height);

/* Counts the image that a resource was given; or stops counting one that it is about to lose. */
void images_add(struct device *device, struct resource *resource);
void images_remove(struct device *device, struct resource *resource);

/* Counts all slots of a scanout's own picture (scanout.h); or stops counting them; false: beyond a
 * quota. */
bool images_add_picture(struct device *device, const struct canvas *picture);
void images_remove_picture(struct device *device, const struct canvas *picture);

/* Counts all slots of an image that is about to be shown; false: beyond the quota. */
bool images_reserve_slots(struct device *device, struct resource *resource);

#endif
