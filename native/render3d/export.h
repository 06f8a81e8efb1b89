/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Textures as DMA buffers, which a display shows without a copy.
 *
 * Only where the library draws on a GPU: 0.10.4 dereferences NULL when it is asked for the
 * descriptor of a texture that was drawn in software.
 */
#ifndef VGPUD_VIRGL_EXPORT_H
#define VGPUD_VIRGL_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

/* [python] */
struct device;

/* Resources are shown from their DMA buffers from now on.  `told`: those that cannot be are said to
 * be pixels, once.  -ENOSYS: the library has no such function. */
int device_export_buffers(struct device *device, int told);
/* [end python] */

struct resource;
struct virgl_resource_info_ext;

enum { VIRGL_EXPORTED_MAX = 64 }; /* each is a descriptor */

struct virgl_export {
    bool enabled;
    bool told; /* what cannot be exported is yet to be said */
    uint32_t count;
    void (*force_ctx_0)(void);
    int (*get_info_ext)(int handle, struct virgl_resource_info_ext *info); /* NULL before 1.0 */
};

/* Fills resource->exported; it stays NULL when that cannot be. */
void virgl_export_take(struct device *device, struct resource *resource);
void virgl_export_close(struct device *device, struct resource *resource);

/* What contexts have drawn goes to the GPU, before somebody else is told to look at it: the kernel
 * makes readers of the buffer wait for what it knows of. */
void virgl_export_finish(struct device *device);

#endif
