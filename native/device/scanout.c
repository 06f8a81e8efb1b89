/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/scanout.h"

#include <errno.h>

#include "device/device.h"
#include "device/images.h"
#include "ring/fault.h"

static uint32_t bit(uint32_t scanout_id) {
    return 1u << scanout_id;
}

/* --- what a scanout shows */

static void save(struct device *device, uint32_t scanout_id) {
    const struct surface *surface = &device->scanouts[scanout_id].surface;
    uint32_t resource_id = surface->resource ? surface->resource->resource_id : 0;

    device->state->scanouts[scanout_id] =
        (struct surface_state){.resource_id = resource_id,
                               .x = surface->shown.x,
                               .y = surface->shown.y,
                               .width = surface->shown.width,
                               .height = surface->shown.height,
                               .surface_width = surface->layout.width,
                               .surface_height = surface->layout.height,
                               .format = surface->layout.format,
                               .stride = surface->layout.stride,
                               .offset = surface->layout.offset};
}

/*
 * The canvas that its pixels are sent from: for a blob the scanout's own picture.  NULL: nothing.
 */
static struct canvas *canvas_of(const struct scanout *scanout) {
    if (scanout->surface.resource == NULL)
        return NULL;
    return scanout->picture != NULL ? scanout->picture : scanout->surface.resource->canvas;
}

/* A canvas has nothing that waits when no scanout that shows it is deferred. */
static void settle(struct device *device, struct canvas *canvas) {
    if (canvas == NULL)
        return;
    for (uint32_t left = device->deferred; left != 0; left &= left - 1)
        if (canvas_of(&device->scanouts[__builtin_ctz(left)]) == canvas)
            return;
    canvas->waiting = CANVAS_NONE;
}

/* QEMU shows the whole of a DMA buffer: it ignores x and y. */
bool scanout_by_buffer(const struct scanout *scanout) {
    const struct resource *resource = scanout->surface.resource;

    return resource != NULL && resource->exported != NULL && !scanout->as_pixels &&
           scanout->surface.shown.x == 0 && scanout->surface.shown.y == 0 &&
           scanout->surface.shown.width == scanout->surface.layout.width &&
           scanout->surface.shown.height == scanout->surface.layout.height;
}

/* The display must be told of each DMA buffer; and after one all pixels must be sent. */
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

/* Takes `picture` over, which may be the scanout's current one. */
static void set_picture(struct device *device, struct scanout *scanout, struct canvas *picture) {
    struct canvas *before = scanout->picture;

    if (picture == before)
        return;
    scanout->picture = picture;
    scanout->blank = true;
    if (before == NULL)
        return;
    images_remove_picture(device, before);
    channel_forget(&device->channel, before);
    canvas_free(before);
}

/* `picture`: what the surface is sent from, NULL: its resource's image. */
static void show(struct device *device, uint32_t scanout_id, const struct surface *surface,
                 struct canvas *picture) {
    struct scanout *scanout = &device->scanouts[scanout_id];
    struct surface before = scanout->surface;
    struct canvas *image_before = before.resource != NULL ? before.resource->canvas : NULL;
    bool by_buffer_before = scanout_by_buffer(scanout);
    bool other = before.resource != surface->resource;

    if (before.resource != NULL && other)
        before.resource->shown &= ~bit(scanout_id);
    if (before.shown.width != surface->shown.width ||
        before.shown.height != surface->shown.height) {
        scanout->announce = true;
        scanout->damage = (struct rectangle){0};
    }
    /* Waiting damage stays: the next flush will cover it. */
    scanout->flushed = scanout->flushed && !other;
    scanout->surface = *surface;
    set_picture(device, scanout, picture);
    settle(device, image_before);
    change_transport(scanout, by_buffer_before, other);
    if (surface->resource != NULL)
        surface->resource->shown |= bit(scanout_id);
    save(device, scanout_id);
    device->deferred |= bit(scanout_id);
    scanouts_push(device);
}

void scanout_disable(struct device *device, uint32_t scanout_id) {
    show(device, scanout_id, &(struct surface){0}, NULL);
}

/* What SET_SCANOUT shows: the image of a resource, whatever its kind. */
static struct surface surface_of(struct resource *resource, const struct rectangle *shown) {
    const struct canvas *canvas = resource->canvas;

    return (struct surface){.resource = resource,
                            .shown = *shown,
                            .layout = {.format = resource->format,
                                       .width = canvas->width,
                                       .height = canvas->height,
                                       .stride = (uint32_t)canvas_stride(canvas)}};
}

static bool shows_some(const struct surface *surface) {
    return !rectangle_empty(&surface->shown) &&
           rectangle_within(&surface->shown, surface->layout.width, surface->layout.height);
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
    if (!shows_some(&surface))
        return -EINVAL;
    if (!images_reserve_slots(device, resource))
        return -ENOMEM;
    show(device, scanout_id, &surface, NULL);
    return 0;
}

/* --- blobs */

static bool is_blob(const struct resource *resource) {
    return resource->kind->make_surface != NULL;
}

static struct surface surface_of_blob(struct resource *resource,
                                      const struct surface_state *shown) {
    return (struct surface){
        .resource = resource,
        .shown = {.x = shown->x, .y = shown->y, .width = shown->width, .height = shown->height},
        .layout = {.format = shown->format,
                   .width = shown->surface_width,
                   .height = shown->surface_height,
                   .stride = shown->stride,
                   .offset = shown->offset}};
}

static bool same_size(const struct canvas *picture, const struct rectangle *shown) {
    return picture != NULL && picture->width == shown->width && picture->height == shown->height;
}

/* A picture of that size: the scanout's current one, or a new one; NULL: beyond a quota. */
static struct canvas *find_picture(struct device *device, const struct scanout *scanout,
                                   const struct rectangle *shown) {
    struct canvas *picture;

    if (same_size(scanout->picture, shown))
        return scanout->picture;
    picture = canvas_new(++device->next_image_id, shown->width, shown->height);
    if (picture == NULL || images_add_picture(device, picture))
        return picture;
    canvas_free(picture);
    return NULL;
}

int scanout_set_blob(struct device *device, uint32_t scanout_id,
                     const struct surface_state *shown) {
    struct resource *resource;
    struct surface surface;
    struct canvas *picture;
    int error;

    if (scanout_id >= device->num_scanouts)
        return -ENODEV;
    if (shown->resource_id == 0) {
        scanout_disable(device, scanout_id);
        return 0;
    }
    resource = resource_table_find(&device->resources, shown->resource_id);
    if (resource == NULL || !is_blob(resource))
        return -ENOENT;
    surface = surface_of_blob(resource, shown);
    if (!layout_fits(&surface.layout, resource->blob_bytes) || !shows_some(&surface))
        return -EINVAL;
    error = resource->kind->make_surface(device, resource, &surface.layout);
    if (error < 0)
        return error;
    picture = find_picture(device, &device->scanouts[scanout_id], &surface.shown);
    if (picture == NULL)
        return -ENOMEM;
    show(device, scanout_id, &surface, picture);
    return 0;
}

static bool shows_host_blob(const struct scanout *scanout) {
    return scanout->picture != NULL && scanout->surface.resource->kind->may_be_lost;
}

uint32_t scanouts_with_pictures(struct device *device) {
    uint32_t bits = 0;

    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        if (shows_host_blob(&device->scanouts[scanout_id]))
            bits |= bit(scanout_id);
    return bits;
}

int scanout_picture(struct device *device, uint32_t scanout_id, struct scanout_picture *picture) {
    const struct canvas *canvas;

    if (scanout_id >= device->num_scanouts || !shows_host_blob(&device->scanouts[scanout_id]))
        return -ENODEV;
    canvas = device->scanouts[scanout_id].picture;
    *picture = (struct scanout_picture){.image_id = canvas->image_id,
                                        .width = canvas->width,
                                        .height = canvas->height,
                                        .fd = canvas->fd};
    return 0;
}

/* --- after another process */

/* Known to the session state but not to this process. */
static bool lost(const struct device *device, uint32_t scanout_id) {
    return device->scanouts[scanout_id].surface.resource == NULL &&
           device->state->scanouts[scanout_id].resource_id != 0;
}

void scanouts_restore(struct device *device, uint32_t resource_id) {
    const struct resource *resource = resource_table_find(&device->resources, resource_id);

    if (resource == NULL)
        return;
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++) {
        struct surface_state saved = device->state->scanouts[scanout_id];
        if (!lost(device, scanout_id) || saved.resource_id != resource_id)
            continue;
        if (resource->kind->number == RESOURCE_BLOB)
            scanout_set_blob(device, scanout_id, &saved);
        else
            scanout_set(device, scanout_id, resource_id, saved.x, saved.y, saved.width,
                        saved.height);
    }
}

/* NULL with errno. */
static struct canvas *adopt_picture(struct device *device, const struct rectangle *shown, int fd) {
    struct canvas *picture = canvas_adopt(++device->next_image_id, shown->width, shown->height, fd);

    if (picture == NULL || images_add_picture(device, picture))
        return picture;
    canvas_free(picture);
    errno = ENOMEM;
    return NULL;
}

int scanout_adopt_picture(struct device *device, uint32_t scanout_id, uint32_t width,
                          uint32_t height, int fd) {
    struct surface_state saved;
    struct resource *resource;
    struct surface surface;
    struct canvas *picture;

    if (scanout_id >= device->num_scanouts)
        return -ENODEV;
    saved = device->state->scanouts[scanout_id];
    resource = resource_table_find(&device->resources, saved.resource_id);
    if (!lost(device, scanout_id) || resource == NULL || !resource->kind->may_be_lost)
        return -ENOENT;
    surface = surface_of_blob(resource, &saved);
    if (!layout_fits(&surface.layout, resource->blob_bytes) || !shows_some(&surface) ||
        surface.shown.width != width || surface.shown.height != height)
        return -EINVAL;
    picture = adopt_picture(device, &surface.shown, fd);
    if (picture == NULL)
        return -errno;
    show(device, scanout_id, &surface, picture);
    device->scanouts[scanout_id].blank = false;
    return 0;
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
        struct canvas *canvas = canvas_of(scanout);
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
        canvas->waiting = canvas->slot;
    }
    scanouts_push(device);
}

void scanout_repaint(struct device *device, uint32_t scanout_id) {
    struct scanout *scanout = &device->scanouts[scanout_id];
    const struct rectangle whole = {.width = scanout->surface.shown.width,
                                    .height = scanout->surface.shown.height};
    struct canvas *canvas = canvas_of(scanout);

    if (!device->draws)
        return;
    /* Also when it is disabled: an earlier process may have shown something there. */
    scanout->announce = true;
    device->deferred |= bit(scanout_id);
    if (canvas == NULL)
        return;
    scanout->flushed = true;
    scanout->damage = whole;
    canvas->waiting = canvas->slot;
}

/* --- records */

static struct present_record record_of(const struct scanout *scanout, uint32_t scanout_id) {
    /* A picture has only what is shown. */
    const struct rectangle source =
        scanout->picture != NULL ? (struct rectangle){0} : scanout->surface.shown;

    return (struct present_record){.kind = PRESENT_SCANOUT,
                                   .scanout_id = scanout_id,
                                   .scanout_width = scanout->surface.shown.width,
                                   .scanout_height = scanout->surface.shown.height,
                                   .x = scanout->damage.x,
                                   .y = scanout->damage.y,
                                   .width = scanout->damage.width,
                                   .height = scanout->damage.height,
                                   .source_x = source.x + scanout->damage.x,
                                   .source_y = source.y + scanout->damage.y};
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
        sent = send_pixels(device, &record, canvas_of(scanout));
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
        settle(device, canvas_of(&device->scanouts[scanout_id]));
    }
    device->state->counters.present_records += device->channel.records - before;
}

/* Pictures of blobs are copied again: only the previous process may have had them. */
static void refresh(void *argument) {
    struct device *device = argument;

    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++) {
        const struct scanout *scanout = &device->scanouts[scanout_id];
        struct resource *resource = scanout->surface.resource;
        if (scanout->picture != NULL && device->draws)
            resource->kind->read_back(device, resource, &scanout->surface.shown);
    }
}

void device_repaint(struct device *device) {
    /* If guest memory has gone, device_run() will report it, and pictures stay as they are. */
    (void)fault_guarded(refresh, device);
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        scanout_repaint(device, scanout_id);
    channel_receive(&device->channel);
    scanouts_push(device);
    channel_send_batch(&device->channel);
}

/* While it was shown from a DMA buffer, nothing was read back. */
static void read_texture(struct device *device, const struct scanout *scanout) {
    struct resource *resource = scanout->surface.resource;

    if (resource != NULL && resource->exported != NULL && device->draws)
        resource->kind->read_back(device, resource, &scanout->surface.shown);
}

void device_show_pixels(struct device *device, int pixels) {
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        device->scanouts[scanout_id].as_pixels = pixels != 0;
    for (uint32_t scanout_id = 0; pixels && scanout_id < device->num_scanouts; scanout_id++)
        read_texture(device, &device->scanouts[scanout_id]);
    device_repaint(device);
}

/* Whether a screenshot would differ from what the guest has drawn. */
static bool behind(const struct scanout *scanout) {
    return scanout_by_buffer(scanout) || (shows_host_blob(scanout) && scanout->blank);
}

int scanout_read_back(struct device *device, uint32_t scanout_id) {
    struct scanout *scanout;
    struct resource *resource;

    if (scanout_id >= device->num_scanouts)
        return -ENODEV;
    scanout = &device->scanouts[scanout_id];
    if (!behind(scanout) || !device->draws)
        return 0; /* each flush has read it back */
    resource = scanout->surface.resource;
    return resource->kind->read_back(device, resource, &scanout->surface.shown) != 0 ? -EIO : 0;
}
