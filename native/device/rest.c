/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/rest.h"

#include "device/device.h"

int rest_timeout(const struct device *device) {
    return device->flushed ? REST_MILLISECONDS : -1;
}

/* True: some of it is still on its way to a display. */
static bool in_use(const struct canvas *canvas) {
    return canvas_pinned(canvas) || canvas->waiting != CANVAS_NONE;
}

static void release_spare(struct resource *resource, void *argument) {
    struct device *device = argument;

    if (resource->canvas == NULL || !resource->canvas->spread)
        return;
    if (in_use(resource->canvas))
        device->flushed = true;
    else
        canvas_release_spare(resource->canvas);
}

static void release_picture(struct device *device, struct scanout *scanout) {
    if (scanout->picture == NULL || scanout->blank)
        return;
    if (in_use(scanout->picture)) {
        device->flushed = true;
        return;
    }
    if (scanout->surface.resource->kind->may_be_lost) {
        canvas_release_spare(scanout->picture);
        return;
    }
    canvas_release_all(scanout->picture);
    scanout->blank = true;
}

void rest_take(struct device *device) {
    channel_receive(&device->channel);
    device->flushed = false;
    resource_table_each(&device->resources, release_spare, device);
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        release_picture(device, &device->scanouts[scanout_id]);
}
