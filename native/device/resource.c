/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/resource.h"

#include <errno.h>
#include <stdlib.h>

#include "device/device.h"
#include "device/images.h"
#include "device/scanout.h"

static struct resource *find(struct device *device, uint32_t resource_id) {
    return resource_table_find(&device->resources, resource_id);
}

/* --- creation */

static int check_new(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                     uint32_t height) {
    if (resource_id == 0 || format_converter(format) == NULL || width == 0 || height == 0)
        return -EINVAL;
    if (find(device, resource_id) != NULL)
        return -EEXIST;
    if (device->resources.count >= device->limits.resources)
        return -ENOMEM;
    return width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX ? -ENOMEM : 0;
}

/* Takes `canvas` over. */
static int insert(struct device *device, uint32_t resource_id, uint32_t format,
                  struct canvas *canvas) {
    struct resource *resource = calloc(1, sizeof(*resource));

    if (resource == NULL) {
        canvas_free(canvas);
        return -ENOMEM;
    }
    *resource = (struct resource){.resource_id = resource_id,
                                  .format = format,
                                  .convert = format_converter(format),
                                  .canvas = canvas};
    images_add(device, resource);
    resource_table_insert(&device->resources, resource);
    return 0;
}

/* `image_fd` -1: a new image. */
static int create(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                  uint32_t height, int image_fd) {
    struct canvas *canvas;
    int error = check_new(device, resource_id, format, width, height);

    if (error < 0)
        return error;
    if (!images_fit(device, width, height))
        return -ENOMEM;
    canvas = image_fd < 0 ? canvas_new(++device->next_image_id, width, height)
                          : canvas_adopt(++device->next_image_id, width, height, image_fd);
    return canvas == NULL ? -errno : insert(device, resource_id, format, canvas);
}

int resource_create_2d(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                       uint32_t height) {
    return create(device, resource_id, format, width, height, -1);
}

int resource_adopt_2d(struct device *device, uint32_t resource_id, uint32_t format, uint32_t width,
                      uint32_t height, int image_fd) {
    int error =
        image_fd < 0 ? -EBADF : create(device, resource_id, format, width, height, image_fd);

    if (error == 0)
        scanouts_restore(device, resource_id);
    return error;
}

int resource_image_fd(struct device *device, uint32_t resource_id) {
    const struct resource *resource = find(device, resource_id);

    return resource == NULL || resource->canvas == NULL ? -ENOENT : resource->canvas->fd;
}

/* --- the end */

static void backing_changed(struct device *device, struct resource *resource) {
    if (device->renderer->hooks != NULL)
        device->renderer->hooks->backing_changed(device, resource);
}

static void drop_backing(struct device *device, struct resource *resource) {
    if (resource->backing == NULL)
        return;
    device->backing_entries -= backing_entries(resource->backing);
    backing_free(resource->backing);
    resource->backing = NULL;
    backing_changed(device, resource);
}

void resource_destroy(struct device *device, struct resource *resource) {
    resource_table_remove(&device->resources, resource);
    drop_backing(device, resource);
    if (device->renderer->hooks != NULL)
        device->renderer->hooks->destroyed(device, resource);
    images_remove(device, resource);
    if (resource->canvas != NULL)
        channel_forget(&device->channel, resource->canvas);
    canvas_free(resource->canvas);
    free(resource);
}

static void destroy(struct resource *resource, void *argument) {
    resource_destroy(argument, resource);
}

void resources_destroy_all(struct device *device) {
    resource_table_each(&device->resources, destroy, device);
}

int resource_unref(struct device *device, uint32_t resource_id) {
    struct resource *resource = find(device, resource_id);

    if (resource == NULL)
        return -ENOENT;
    for (uint32_t scanout_id = 0; scanout_id < device->num_scanouts; scanout_id++)
        if (device->scanouts[scanout_id].resource == resource)
            scanout_disable(device, scanout_id);
    resource_destroy(device, resource);
    return 0;
}

/* --- backing */

int resource_attach_backing(struct device *device, uint32_t resource_id, const uint8_t *entries,
                            uint32_t nr_entries) {
    struct resource *resource = find(device, resource_id);

    if (resource == NULL)
        return -ENOENT;
    if (resource->backing != NULL)
        return -EEXIST;
    if (nr_entries > device->limits.backing_entries ||
        device->backing_entries > device->limits.backing_entries - nr_entries)
        return -ENOMEM;
    resource->backing = backing_new(device->memory, entries, nr_entries);
    if (resource->backing == NULL)
        return -errno;
    device->backing_entries += nr_entries;
    backing_changed(device, resource);
    return 0;
}

int resource_detach_backing(struct device *device, uint32_t resource_id) {
    struct resource *resource = find(device, resource_id);

    if (resource == NULL)
        return -ENOENT;
    if (resource->backing == NULL)
        return -ENODATA;
    drop_backing(device, resource);
    return 0;
}

/* --- another memory table */

static void translate(struct resource *resource, void *argument) {
    struct device *device = argument;

    if (resource->backing == NULL)
        return;
    if (backing_translate(resource->backing, device->memory)) {
        backing_changed(device, resource);
        return;
    }
    drop_backing(device, resource);
    device->lost_backings++;
}

void resources_translate(struct device *device) {
    resource_table_each(&device->resources, translate, device);
}
