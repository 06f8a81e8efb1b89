/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/images.h"

#include "device/device.h"

static uint64_t spare_bytes(const struct resource *resource) {
    return canvas_slot_bytes(resource->canvas) * (IMAGE_SLOTS - 1);
}

uint64_t images_charge(const struct resource *resource) {
    if (resource->canvas == NULL)
        return 0;
    return canvas_slot_bytes(resource->canvas) +
           (resource->slots_reserved ? spare_bytes(resource) : 0);
}

static void reclaim(struct resource *resource, void *argument) {
    struct device *device = argument;

    if (!resource->slots_reserved || resource->shown || canvas_pinned(resource->canvas))
        return;
    canvas_release_spare(resource->canvas);
    device->image_bytes -= spare_bytes(resource);
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

/* Small ones are always copied when they are shown. */
bool images_reserve_slots(struct device *device, struct resource *resource) {
    uint64_t spare = spare_bytes(resource);

    if (resource->slots_reserved || canvas_slot_bytes(resource->canvas) <= PRESENT_STAGED_MAX)
        return true;
    if (!images_make_room(device, spare))
        return false;
    device->image_bytes += spare;
    resource->slots_reserved = true;
    return true;
}
