/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "render3d/render3d.h"
#include "render3d/texture.h"

struct virgl_context *virgl_context_find(struct virgl_device *virgl, uint32_t ctx_id) {
    /* Submits come in rows from one context. */
    if (virgl->last < virgl->context_count && virgl->contexts[virgl->last].ctx_id == ctx_id)
        return &virgl->contexts[virgl->last];
    for (uint32_t i = 0; i < virgl->context_count; i++) {
        if (virgl->contexts[i].ctx_id == ctx_id) {
            virgl->last = i;
            return &virgl->contexts[i];
        }
    }
    return NULL;
}

/* --- creation and the end */

static int create_in_library(const struct virgl_api *api, uint32_t ctx_id, uint32_t context_init,
                             const char *name, uint32_t length) {
    /* The sets that are offered are virgl's, which is what a context without one has as well. */
    if (context_init == 0 || api->context_create_with_flags == NULL)
        return api->context_create(ctx_id, length, name);
    return api->context_create_with_flags(ctx_id, context_init, length, name);
}

static bool make_room(struct virgl_device *virgl) {
    uint32_t room = virgl->context_room ? 2 * virgl->context_room : 16;
    struct virgl_context *contexts;

    if (virgl->context_count < virgl->context_room)
        return true;
    contexts = realloc(virgl->contexts, room * sizeof(*contexts));
    if (contexts == NULL)
        return false;
    virgl->contexts = contexts;
    virgl->context_room = room;
    return true;
}

int context_create(struct device *device, uint32_t ctx_id, uint32_t context_init, const char *name,
                   uint32_t length) {
    struct virgl_device *virgl = device->virgl;
    int error;

    if (ctx_id == 0)
        return -EINVAL;
    /* The library would say 0 and do nothing. */
    if (virgl_context_find(virgl, ctx_id) != NULL)
        return -EEXIST;
    if (virgl->context_count >= device->limits.contexts || !make_room(virgl))
        return -ENOMEM;
    error = create_in_library(&virgl->virgl->api, ctx_id, context_init, name, length);
    if (error != 0)
        return -EINVAL;
    virgl->contexts[virgl->context_count++] = (struct virgl_context){.ctx_id = ctx_id};
    return 0;
}

static void destroy(struct virgl_device *virgl, struct virgl_context *context) {
    virgl->virgl->api.context_destroy(context->ctx_id);
    free(context->waiting);
    *context = virgl->contexts[--virgl->context_count];
}

int context_destroy(struct device *device, uint32_t ctx_id) {
    struct virgl_context *context = virgl_context_find(device->virgl, ctx_id);

    if (context == NULL)
        return -ESRCH;
    destroy(device->virgl, context);
    return 0;
}

void virgl_contexts_destroy_all(struct virgl_device *virgl) {
    while (virgl->context_count > 0)
        destroy(virgl, &virgl->contexts[virgl->context_count - 1]);
}

/* --- resources */

static void stop_waiting(struct virgl_context *context, uint32_t resource_id) {
    for (uint32_t i = 0; i < context->waiting_count; i++) {
        if (context->waiting[i] == resource_id) {
            context->waiting[i] = context->waiting[--context->waiting_count];
            return;
        }
    }
}

static int wait_for(struct virgl_context *context, uint32_t resource_id) {
    stop_waiting(context, resource_id);
    if (context->waiting_count == context->waiting_room) {
        uint32_t room = context->waiting_room ? 2 * context->waiting_room : 16;
        uint32_t *waiting = realloc(context->waiting, room * sizeof(*waiting));
        if (waiting == NULL)
            return -ENOMEM;
        context->waiting = waiting;
        context->waiting_room = room;
    }
    context->waiting[context->waiting_count++] = resource_id;
    return 0;
}

int context_attach_resource(struct device *device, uint32_t ctx_id, uint32_t resource_id) {
    struct virgl_context *context = virgl_context_find(device->virgl, ctx_id);
    struct resource *resource = resource_table_find(&device->resources, resource_id);

    if (context == NULL)
        return -ESRCH;
    if (resource == NULL)
        return -ENOENT;
    if (resource->virgl == NULL)
        return wait_for(context, resource_id);
    device->virgl->virgl->api.ctx_attach_resource((int)ctx_id, (int)resource_id);
    return 0;
}

int context_detach_resource(struct device *device, uint32_t ctx_id, uint32_t resource_id) {
    struct virgl_context *context = virgl_context_find(device->virgl, ctx_id);
    struct resource *resource = resource_table_find(&device->resources, resource_id);

    if (context == NULL)
        return -ESRCH;
    if (resource == NULL)
        return -ENOENT;
    stop_waiting(context, resource_id);
    if (resource->virgl != NULL)
        device->virgl->virgl->api.ctx_detach_resource((int)ctx_id, (int)resource_id);
    return 0;
}

void virgl_contexts_forget(struct virgl_device *virgl, uint32_t resource_id) {
    for (uint32_t i = 0; i < virgl->context_count; i++)
        stop_waiting(&virgl->contexts[i], resource_id);
}

void virgl_context_settle(struct device *device, struct virgl_context *context) {
    const struct virgl_api *api = &device->virgl->virgl->api;

    for (uint32_t i = 0; i < context->waiting_count; i++) {
        struct resource *resource = resource_table_find(&device->resources, context->waiting[i]);
        /* A format that GL has not stays an image: the context finds no such resource. */
        if (resource != NULL && virgl_resource_promote(device, resource) == 0)
            api->ctx_attach_resource((int)context->ctx_id, (int)resource->resource_id);
    }
    context->waiting_count = 0;
}
