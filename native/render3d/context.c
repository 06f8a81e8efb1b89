/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "render3d/guest_blob.h"
#include "render3d/render3d.h"
#include "render3d/texture.h"

struct context *context_find(struct render3d *render3d, uint32_t ctx_id) {
    /* Several submits in a row come from one context. */
    if (render3d->last < render3d->context_count &&
        render3d->contexts[render3d->last].ctx_id == ctx_id)
        return &render3d->contexts[render3d->last];
    for (uint32_t i = 0; i < render3d->context_count; i++) {
        if (render3d->contexts[i].ctx_id == ctx_id) {
            render3d->last = i;
            return &render3d->contexts[i];
        }
    }
    return NULL;
}

/* --- creation and the end */

static bool make_room(struct render3d *render3d) {
    uint32_t room = render3d->context_room ? 2 * render3d->context_room : 16;
    struct context *contexts;

    if (render3d->context_count < render3d->context_room)
        return true;
    contexts = realloc(render3d->contexts, room * sizeof(*contexts));
    if (contexts == NULL)
        return false;
    render3d->contexts = contexts;
    render3d->context_room = room;
    return true;
}

int context_create(struct device *device, uint32_t ctx_id, uint32_t context_init, const char *name,
                   uint32_t length) {
    struct render3d *render3d = device->render3d;
    int error;

    /* A library would return 0 and do nothing. */
    if (ctx_id == 0 || context_find(render3d, ctx_id) != NULL)
        return -EALREADY;
    if (render3d->context_count >= device->limits.contexts || !make_room(render3d))
        return -ENOMEM;
    error = render3d->library->operations->context_create(render3d->library, ctx_id, context_init,
                                                          name, length);
    if (error != 0)
        return -EINVAL;
    render3d->contexts[render3d->context_count++] =
        (struct context){.ctx_id = ctx_id, .vulkan = context_init == CAPSET_VENUS};
    return 0;
}

static void destroy(struct render3d *render3d, struct context *context) {
    render3d->library->operations->context_destroy(render3d->library, context->ctx_id);
    free(context->waiting);
    *context = render3d->contexts[--render3d->context_count];
}

int context_destroy(struct device *device, uint32_t ctx_id) {
    struct context *context = context_find(device->render3d, ctx_id);

    if (context == NULL)
        return -ESRCH;
    destroy(device->render3d, context);
    held_end_context(device, ctx_id);
    return 0;
}

void contexts_destroy_all(struct render3d *render3d) {
    while (render3d->context_count > 0)
        destroy(render3d, &render3d->contexts[render3d->context_count - 1]);
}

/* --- resources */

static void stop_waiting(struct context *context, uint32_t resource_id) {
    for (uint32_t i = 0; i < context->waiting_count; i++) {
        if (context->waiting[i] == resource_id) {
            context->waiting[i] = context->waiting[--context->waiting_count];
            return;
        }
    }
}

static int wait_for(struct context *context, uint32_t resource_id) {
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
    struct context *context = context_find(device->render3d, ctx_id);
    struct resource *resource = resource_table_find(&device->resources, resource_id);

    if (context == NULL)
        return -ESRCH;
    if (resource == NULL)
        return -ENOENT;
    if (resource->texture == NULL)
        return context->vulkan ? 0 : wait_for(context, resource_id);
    library_of(device)->operations->context_attach(library_of(device), ctx_id, resource_id);
    return 0;
}

int context_detach_resource(struct device *device, uint32_t ctx_id, uint32_t resource_id) {
    struct context *context = context_find(device->render3d, ctx_id);
    struct resource *resource = resource_table_find(&device->resources, resource_id);

    if (context == NULL)
        return -ESRCH;
    if (resource == NULL)
        return -ENOENT;
    stop_waiting(context, resource_id);
    if (resource->texture != NULL)
        library_of(device)->operations->context_detach(library_of(device), ctx_id, resource_id);
    return 0;
}

void contexts_forget(struct render3d *render3d, uint32_t resource_id) {
    for (uint32_t i = 0; i < render3d->context_count; i++)
        stop_waiting(&render3d->contexts[i], resource_id);
}

static int promote(struct device *device, struct resource *resource, uint32_t ctx_id) {
    if (resource->kind->number == RESOURCE_BLOB)
        return guest_blob_promote(device, resource, ctx_id);
    return texture_promote(device, resource);
}

void context_settle(struct device *device, struct context *context) {
    struct gpu_library *library = library_of(device);

    for (uint32_t i = 0; i < context->waiting_count; i++) {
        struct resource *resource = resource_table_find(&device->resources, context->waiting[i]);
        /* A resource whose format GL lacks stays an image: the context finds no such resource. */
        if (resource != NULL && promote(device, resource, context->ctx_id) == 0)
            library->operations->context_attach(library, context->ctx_id, resource->resource_id);
    }
    context->waiting_count = 0;
}
