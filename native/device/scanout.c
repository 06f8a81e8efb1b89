/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/scanout.h"

#include <errno.h>

#include "device/device.h"
#include "device/images.h"

static uint32_t bit(uint32_t scanout_id) {
    return 1u << scanout_id;
}

/* --- what a scanout shows */

static void save(struct device *device, uint32_t scanout_id) {
    const struct surface *surface = &device->scanouts[scanout_id].surface;
    uint32_t resource_id = surface->resource ? surface->resource->resource_id : 0;

    device->state->scanouts[scanout_id] = (struct surface_state){.resource_id = resource_id,
                                                                 .x = surface->shown.x,
                                                                 .y = surface->shown.y,
                                                                 .width = surface->shown.width,
                                                                 .height = surface->shown.height,
                                                                 .surface_width = surface->width,
                                                                 .surface_height = surface->height,
                                                                 .format = surface->format,
                                                                 .stride = surface->stride,
                                                                 .offset = surface->offset};
}

/* Nobody waits for the picture of an image any more when no scanout that shows it is deferred. */
static void settle(struct device *device, struct resource *resource) {
    if (resource != NULL && !(resource->shown & device->deferred))
        resource->canvas->waiting = CANVAS_NONE;
}

/* What QEMU shows of a DMA buffer is the whole of it: it takes no notice of x and y. */
bool scanout_by_buffer(const struct scanout *scanout) {
    const struct resource *resource = scanout->surface.resource;

    return resource != NULL && resource->exported != NULL && scanout->surface.shown.x == 0 &&
           scanout->surface.shown.y == 0 &&
           scanout->surface.shown.width == scanout->surface.width &&
           scanout->surface.shown.height == scanout->surface.height;
}

/* The display has to hear of each DMA buffer; and pixels that follow one have to be all of them. */
static void change_transport(struct scanout *scanout, bool by_buffer_before, bool other) {
    if (scanout_by_buffer(scanout)) {
        scanout->announce = scanout->announce || other || !by_buffer_before;
        if (other)
            scanout->damage = (struct rectangle){0};
    } else if (by_buffer_before) {
        scanout->announce = true;
        scanout->damage = (struct rectangle){.width = scanout->surface.shown.width,
                                             .height = scanout->surface.shown.height};
    }
}

static void show(struct device *device, uint32_t scanout_id, const struct surface *surface) {
    struct scanout *scanout = &device->scanouts[scanout_id];
    struct surface before = scanout->surface;
    bool by_buffer_before = scanout_by_buffer(scanout);
    bool other = before.resource != surface->resource;

    if (before.resource != NULL && other) {
        before.resource->shown &= ~bit(scanout_id);
        settle(device, before.resource);
    }
    if (before.shown.width != surface->shown.width ||
        before.shown.height != surface->shown.height) {
        scanout->announce = true;
        scanout->damage = (struct rectangle){0};
    }
    /* Damage that waits stays: the next flush will cover what it was about. */
    scanout->flushed = scanout->flushed && !other;
    scanout->surface = *surface;
    change_transport(scanout, by_buffer_before, other);
    if (surface->resource != NULL)
        surface->resource->shown |= bit(scanout_id);
    save(device, scanout_id);
    device->deferred |= bit(scanout_id);
    scanouts_push(device);
}

void scanout_disable(struct device *device, uint32_t scanout_id) {
    show(device, scanout_id, &(struct surface){0});
}

/* What SET_SCANOUT shows: the image of a resource, whatever its kind. */
static struct surface surface_of(struct resource *resource, const struct rectangle *shown) {
    const struct canvas *canvas = resource->canvas;

    return (struct surface){.resource = resource,
                            .shown = *shown,
                            .width = canvas->width,
                            .height = canvas->height,
                            .format = resource->format,
                            .stride = (uint32_t)canvas_stride(canvas)};
}

int scanout_set(struct device *device, uint32_t scanout_id, uint32_t resource_id, uint32_t x,
                uint32_t y, uint32_t width, uint32_t height) {
    const struct rectangle shown = {.x = x, .y = y, .width = width, .height = height};
    struct surface surface;
    struct resource *resource;
    int error;

    if (scanout_id >= device->num_scanouts)
        return -ENODEV;
    if (resource_id == 0) {
        scanout_disable(device, scanout_id);
        return 0;
    }
    resource = resource_table_find(&device->resources, resource_id);
    if (resource == NULL)
        return -ENOENT;
    error = resource->kind->make_image(device, resource);
    if (error < 0)
        return error;
    surface = surface_of(resource, &shown);
    if (rectangle_empty(&shown) || !rectangle_within(&shown, surface.width, surface.height))
        return -EINVAL;
    if (!images_reserve_slots(device, resource))
        return -ENOMEM;
    show(device, scanout_id, &surface);
    return 0;
}

/* --- after another process */

/* Known to the session state and not to this process. */
static bool lost(const struct device *device, uint32_t scanout_id) {
    return device->scanouts[scanout_id].surface.resource == NULL &&
           device->state->scanouts[scanout_id].resource_id != 0;
}

void scanouts_restore(struct device *device, uint32_t resource_id) {
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++) {
        struct surface_state saved = device->state->scanouts[scanout_id];
        if (lost(device, scanout_id) && saved.resource_id == resource_id)
            scanout_set(device, scanout_id, resource_id, saved.x, saved.y, saved.width,
                        saved.height);
    }
}

void scanouts_drop_lost(struct device *device) {
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        if (lost(device, scanout_id))
            scanout_disable(device, scanout_id);
}

/* --- damage */

void scanouts_damage(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle) {
    if (!resource->shown || !device->draws)
        return;
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++) {
        struct scanout *scanout = &device->scanouts[scanout_id];
        struct rectangle seen;
        if (scanout->surface.resource != resource)
            continue;
        seen = rectangle_common(rectangle, &scanout->surface.shown);
        if (rectangle_empty(&seen))
            continue;
        seen.x -= scanout->surface.shown.x;
        seen.y -= scanout->surface.shown.y;
        scanout->damage = rectangle_around(&scanout->damage, &seen);
        scanout->flushed = true;
        device->deferred |= bit(scanout_id);
        resource->canvas->waiting = resource->canvas->slot;
    }
    scanouts_push(device);
}

void scanout_repaint(struct device *device, uint32_t scanout_id) {
    struct scanout *scanout = &device->scanouts[scanout_id];
    const struct rectangle whole = {.width = scanout->surface.shown.width,
                                    .height = scanout->surface.shown.height};

    if (!device->draws)
        return;
    /* One that is disabled as well: a process before this one may have shown something there. */
    scanout->announce = true;
    device->deferred |= bit(scanout_id);
    if (scanout->surface.resource == NULL)
        return;
    scanout->flushed = true;
    scanout->damage = whole;
    scanout->surface.resource->canvas->waiting = scanout->surface.resource->canvas->slot;
}

/* --- records */

static struct present_record record_of(const struct scanout *scanout, uint32_t scanout_id) {
    return (struct present_record){.kind = PRESENT_SCANOUT,
                                   .scanout_id = scanout_id,
                                   .scanout_width = scanout->surface.shown.width,
                                   .scanout_height = scanout->surface.shown.height,
                                   .x = scanout->damage.x,
                                   .y = scanout->damage.y,
                                   .width = scanout->damage.width,
                                   .height = scanout->damage.height,
                                   .source_x = scanout->surface.shown.x + scanout->damage.x,
                                   .source_y = scanout->surface.shown.y + scanout->damage.y};
}

static bool announce_buffer(struct device *device, uint32_t scanout_id) {
    const struct exported *exported = device->scanouts[scanout_id].surface.resource->exported;
    struct present_buffer record = exported->buffer;

    record.scanout_id = scanout_id;
    return channel_buffer(&device->channel, &record, exported->fd);
}

static bool announce(struct device *device, uint32_t scanout_id) {
    struct scanout *scanout = &device->scanouts[scanout_id];
    struct present_record record = record_of(scanout, scanout_id);

    if (!scanout->announce)
        return true;
    if (scanout_by_buffer(scanout)) {
        scanout->announce = !announce_buffer(device, scanout_id);
        return !scanout->announce;
    }
    if (device->draws && !channel_scanout(&device->channel, &record))
        return false;
    scanout->announce = false;
    return true;
}

static bool send_pixels(struct device *device, struct present_record *record,
                        struct canvas *canvas) {
    uint64_t bytes = image_stride(record->width) * record->height;

    return bytes <= PRESENT_STAGED_MAX
               ? channel_staged(&device->channel, record, canvas, canvas->waiting)
               : channel_image(&device->channel, record, canvas, canvas->waiting);
}

static bool send_damage(struct device *device, uint32_t scanout_id) {
    struct scanout *scanout = &device->scanouts[scanout_id];
    struct present_record record = record_of(scanout, scanout_id);
    bool sent;

    if (scanout->surface.resource == NULL || !scanout->flushed || rectangle_empty(&scanout->damage))
        return true;
    if (scanout_by_buffer(scanout)) {
        record.kind = PRESENT_DAMAGE;
        sent = channel_scanout(&device->channel, &record);
    } else {
        sent = send_pixels(device, &record, scanout->surface.resource->canvas);
    }
    if (!sent)
        return false;
    scanout->damage = (struct rectangle){0};
    scanout->flushed = false;
    return true;
}

void scanouts_push(struct device *device) {
    uint32_t left = device->deferred;
    uint64_t before = device->channel.records;

    while (left != 0) {
        uint32_t scanout_id = (uint32_t)__builtin_ctz(left);
        left &= left - 1;
        if (!announce(device, scanout_id) || !send_damage(device, scanout_id))
            continue;
        device->deferred &= ~bit(scanout_id);
        settle(device, device->scanouts[scanout_id].surface.resource);
    }
    device->state->counters.present_records += device->channel.records - before;
}

void device_repaint(struct device *device) {
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        scanout_repaint(device, scanout_id);
    channel_receive(&device->channel);
    scanouts_push(device);
    channel_send_batch(&device->channel);
}

int scanout_read_back(struct device *device, uint32_t scanout_id) {
    struct scanout *scanout;
    struct resource *resource;

    if (scanout_id >= device->num_scanouts)
        return -ENODEV;
    scanout = &device->scanouts[scanout_id];
    if (!scanout_by_buffer(scanout))
        return 0; /* each flush has done it */
    resource = scanout->surface.resource;
    return resource->kind->read_back(device, resource, &scanout->surface.shown) != 0 ? -EIO : 0;
}
