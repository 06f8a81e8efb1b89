/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/images.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "device/device.h"

/*
 * Descriptors that either process of a machine has for other things: in the session guest memory
 * has one for each region (509 at most), and there are links, rings, displays, clients of the
 * control socket.
 */
enum { OTHER_DESCRIPTORS = 640, STAT_BLOCK = 512 };

static uint64_t spare_bytes(const struct resource *resource) {
    return canvas_slot_bytes(resource->canvas) * (IMAGE_SLOTS - 1);
}

uint64_t images_charge(const struct resource *resource) {
    if (resource->canvas == NULL)
        return 0;
    return image_slot_offset(resource->canvas->width, resource->canvas->height, 1) +
           (resource->slots_reserved ? spare_bytes(resource) : 0);
}

static void reclaim(struct resource *resource, void *argument) {
    struct device *device = argument;

    if (!resource->slots_reserved || resource->shown || canvas_pinned(resource->canvas))
        return;
    canvas_release_spare(resource->canvas);
    images_give(device, spare_bytes(resource));
    resource->slots_reserved = false;
}

static bool within(const struct device *device, uint64_t bytes) {
    uint64_t limit = device->limits.image_bytes;

    return device->image_bytes <= limit && bytes <= limit - device->image_bytes;
}

bool images_make_room(struct device *device, uint64_t bytes) {
    if (within(device, bytes))
        return true;
    channel_receive(&device->channel);
    resource_table_each(&device->resources, reclaim, device);
    return within(device, bytes);
}

void images_take(struct device *device, uint64_t bytes) {
    device->image_bytes += bytes;
    device->state->image_bytes = device->image_bytes;
}

void images_give(struct device *device, uint64_t bytes) {
    device->image_bytes -= bytes;
    device->state->image_bytes = device->image_bytes;
}

/* Asked each time: an administrator may lower it for a running process. */
static uint64_t descriptors_max(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    return limit.rlim_cur < 2 * OTHER_DESCRIPTORS ? limit.rlim_cur / 2
                                                  : limit.rlim_cur - OTHER_DESCRIPTORS;
}

void images_start(struct device *device) {
    device->state->image_bytes = device->state->images = 0;
    device->state->images_max = descriptors_max();
}

bool images_descriptor_left(struct device *device) {
    device->state->images_max = descriptors_max();
    return device->images < device->state->images_max;
}

void images_take_descriptor(struct device *device) {
    device->state->images = ++device->images;
}

void images_give_descriptor(struct device *device) {
    device->state->images = --device->images;
}

bool images_fit(struct device *device, uint32_t width, uint32_t height) {
    return images_descriptor_left(device) &&
           images_make_room(device, image_slot_offset(width, height, 1));
}

static bool spare_written(const struct canvas *canvas) {
    struct stat file;

    return fstat(canvas->fd, &file) < 0 || (uint64_t)file.st_blocks * STAT_BLOCK >
                                               image_slot_offset(canvas->width, canvas->height, 1);
}

void images_add(struct device *device, struct resource *resource) {
    images_take_descriptor(device);
    images_take(device, images_charge(resource));
    if (spare_written(resource->canvas) && !images_reserve_slots(device, resource))
        canvas_release_spare(resource->canvas);
}

void images_remove(struct device *device, struct resource *resource) {
    if (resource->canvas == NULL)
        return;
    images_give_descriptor(device);
    images_give(device, images_charge(resource));
}

bool images_add_picture(struct device *device, const struct canvas *picture) {
    uint64_t bytes = image_file_bytes(picture->width, picture->height);

    if (!images_fit(device, picture->width, picture->height) || !images_make_room(device, bytes))
        return false;
    images_take_descriptor(device);
    images_take(device, bytes);
    return true;
}

void images_remove_picture(struct device *device, const struct canvas *picture) {
    images_give_descriptor(device);
    images_give(device, image_file_bytes(picture->width, picture->height));
}

bool images_reserve_slots(struct device *device, struct resource *resource) {
    uint64_t spare = spare_bytes(resource);

    if (resource->slots_reserved)
        return true;
    if (!images_make_room(device, spare))
        return false;
    images_take(device, spare);
    resource->slots_reserved = true;
    return true;
}
