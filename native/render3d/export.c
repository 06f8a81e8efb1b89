/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/export.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "render3d/render3d.h"
#include "shared/limited_log.h"

static struct limited_log export_log = LIMITED_LOG("display", PRIORITY_WARNING);

int device_export_buffers(struct device *device, int told) {
    bool possible = library_of(device)->operations->export_buffer != NULL;

    device->render3d->exports = (struct exports){.enabled = possible, .told = told != 0};
    return possible ? 0 : -ENOSYS;
}

/* NULL, or why not. */
static const char *take(struct device *device, struct resource *resource) {
    struct exported exported = {.fd = -1};
    const char *reason;

    if (device->render3d->exports.count == EXPORTED_MAX)
        return "there are too many";
    reason = library_of(device)->operations->export_buffer(
        library_of(device), resource->resource_id, &exported.fd, &exported.buffer);
    if (reason != NULL)
        return reason;
    resource->exported = malloc(sizeof(*resource->exported));
    if (resource->exported == NULL) {
        close(exported.fd);
        return "no memory";
    }
    exported.buffer.width = resource->canvas->width;
    exported.buffer.height = resource->canvas->height;
    *resource->exported = exported;
    device->render3d->exports.count++;
    return NULL;
}

void export_take(struct device *device, struct resource *resource) {
    struct exports *exports = &device->render3d->exports;
    const char *reason;

    if (!exports->enabled)
        return;
    reason = take(device, resource);
    if (reason == NULL || !exports->told)
        return;
    exports->told = false;
    limited_log_say(&export_log,
                    "resource %u cannot be shown from a DMA buffer (%s): its pixels are sent",
                    resource->resource_id, reason);
}

void export_close(struct device *device, struct resource *resource) {
    if (resource->exported == NULL)
        return;
    close(resource->exported->fd);
    free(resource->exported);
    resource->exported = NULL;
    device->render3d->exports.count--;
}

/* Making another context current flushes the previous one; a fence flushes the current one. */
void export_finish(struct device *device) {
    struct render3d *render3d = device->render3d;
    const struct gpu_operations *operations = render3d->library->operations;

    if (render3d->drawing)
        operations->create_fence(render3d->library, ++render3d->last_fence);
    operations->flush_drawing(render3d->library);
}
