/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The quota for images.  An image counts once; one that is shown by reference may be written in
 * every slot, so it counts IMAGE_SLOTS times from its first scanout on, and goes on to do so while
 * hidden until somebody else needs the memory: flips would else give it back and take it again.
 */
#ifndef VGPUD_IMAGES_H
#define VGPUD_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct resource;

/* What the resource's image counts, in bytes. */
uint64_t images_charge(const struct resource *resource);

/* Whether `bytes` more are within the quota, if need be after taking spare slots from images that
 * are not shown. */
bool images_make_room(struct device *device, uint64_t bytes);

/* Counts all slots of an image that is about to be shown; false: beyond the quota. */
bool images_reserve_slots(struct device *device, struct resource *resource);

#endif
