/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A device whose guest draws with libvirglrenderer: the commands that Python executes, and
 * resources that the library knows.  Those that move data are in the renderer's table
 * (commands_3d.c).
 */
#ifndef VGPUD_VIRGL_COMMANDS_H
#define VGPUD_VIRGL_COMMANDS_H

#include "device/run.h"
#include "virgl/virgl.h"

/* [python] */
/* As virtio_gpu_resource_create_3d has them. */
struct resource_3d {
    uint32_t resource_id;
    uint32_t target;
    uint32_t format;
    uint32_t bind;
    uint32_t width;
    uint32_t height;
    uint32_t depth;
    uint32_t array_size;
    uint32_t last_level;
    uint32_t nr_samples;
    uint32_t flags;
};

/* Before anything else, of a device with RENDERER_VIRGL; `virgl` stays the caller's and outlives
 * the device.  -ENOMEM. */
int device_set_virgl(struct device *device, struct virgl *virgl);

/* -EEXIST; -EINVAL: resource_id, or what the library refuses; -ENOMEM: a quota. */
int resource_create_3d(struct device *device, const struct resource_3d *resource);
/* How much host memory it takes, estimated; UINT64_MAX when that cannot be counted. */
uint64_t resource_3d_bytes(const struct resource_3d *resource);

/* `context_init`: a capset's number, 0: the library's choice.  -EEXIST, -ENOMEM, -EINVAL. */
int context_create(struct device *device, uint32_t ctx_id, uint32_t context_init, const char *name,
                   uint32_t length);
/* These: -ESRCH no such context, -ENOENT no such resource. */
int context_destroy(struct device *device, uint32_t ctx_id);
int context_attach_resource(struct device *device, uint32_t ctx_id, uint32_t resource_id);
int context_detach_resource(struct device *device, uint32_t ctx_id, uint32_t resource_id);
/* [end python] */

#endif
