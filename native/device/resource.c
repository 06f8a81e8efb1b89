/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/resource.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "device/images.h"
#include "device/renderers.h"
#include "device/scanout.h"

static struct resource *find(struct device *device, uint32_t resource_id) {
    return resource_table_find(&device->resources, resource_id);
}

/* --- creation */

int resource_check_new(struct device *device, uint32_t resource_id) {
    if (resource_id == 0 || find(device, resource_id) != NULL)
        return -EEXIST;
    return device->resources.count >= device->limits.resources ? -ENOMEM : 0;
}

struct resource *resource_new(struct device *device, const struct resource_kind *kind,
                              uint32_t resource_id, uint32_t format) {
    struct resource *resource = calloc(1, sizeof(*resource));

    if (resource == NULL)
        return NULL;
    *resource = (struct resource){.resource_id = resource_id, .format = format, .kind = kind};
    resource_table_insert(&device->resources, resource);
    return resource;
}

int resource_kind(struct device *device, uint32_t resource_id) {
    const struct resource *resource = find(device, resource_id);

    return resource == NULL ? -ENOENT : resource->kind->number;
}

int resource_image_fd(struct device *device, uint32_t resource_id) {
    const struct resource *resource = find(device, resource_id);

    return resource == NULL || resource->canvas == NULL ? -ENOENT : resource->canvas->fd;
}

/* --- the end */

static void drop_backing(struct device *device, struct resource *resource) {
    if (resource->backing == NULL)
        return;
    device->backing_entries -= backing_entries(resource->backing);
    backing_free(resource->backing);
    resource->backing = NULL;
    resource->kind->backing_changed(device, resource);
}

void resource_destroy(struct device *device, struct resource *resource) {
    resource_table_remove(&device->resources, resource);
    drop_backing(device, resource);
    device->renderer->resource_gone(device, resource);
    resource->kind->destroy(device, resource);
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
        if (device->scanouts[scanout_id].surface.resource == resource)
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
        return -EBUSY;
    if (nr_entries > device->limits.backing_entries ||
        device->backing_entries > device->limits.backing_entries - nr_entries)
        return -ENOMEM;
    resource->backing = backing_new(device->memory, entries, nr_entries);
    if (resource->backing == NULL)
        return -errno;
    if (backing_bytes(resource->backing) < resource->blob_bytes) {
        backing_free(resource->backing);
        resource->backing = NULL;
        return -EINVAL;
    }
    device->backing_entries += nr_entries;
    resource->kind->backing_changed(device, resource);
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

/* --- UUIDs */

int resource_uuid(struct device *device, uint32_t resource_id, uint8_t *uuid) {
    const struct resource *resource = find(device, resource_id);

    if (resource == NULL)
        return -ENOENT;
    if (!resource->has_uuid)
        return -ENODATA;
    memcpy(uuid, resource->uuid, sizeof(resource->uuid));
    return 0;
}

int resource_set_uuid(struct device *device, uint32_t resource_id, const uint8_t *uuid) {
    struct resource *resource = find(device, resource_id);

    if (resource == NULL)
        return -ENOENT;
    memcpy(resource->uuid, uuid, sizeof(resource->uuid));
    resource->has_uuid = true;
    return 0;
}

/* --- another memory table */

static void translate(struct resource *resource, void *argument) {
    struct device *device = argument;

    if (resource->backing == NULL)
        return;
    if (backing_translate(resource->backing, device->memory)) {
        resource->kind->backing_changed(device, resource);
        return;
    }
    drop_backing(device, resource);
    device->lost_backings++;
}

void resources_translate(struct device *device) {
    resource_table_each(&device->resources, translate, device);
}
