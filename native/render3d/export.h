/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Textures as DMA buffers, which a display shows without a copy.
 *
 * Only where the library draws on a GPU: virglrenderer 0.10.4 dereferences NULL when it is asked
 * for the descriptor of a texture that was drawn in software.
 */
#ifndef VGPUD_EXPORT_H
#define VGPUD_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

/* [python] */
struct device;

/* From now on resources are shown from their DMA buffers.  `told`: log once that some cannot be.
 * -ENOSYS: the library has no such function. */
int device_export_buffers(struct device *device, int told);
/* [end python] */

struct resource;

enum { EXPORTED_MAX = 64 }; /* each is a descriptor */

struct exports {
    bool enabled;
    bool told; /* a resource that cannot be exported must be logged */
    uint32_t count;
};

/* Fills resource->exported; it stays NULL when there can be none. */
void export_take(struct device *device, struct resource *resource);
void export_close(struct device *device, struct resource *resource);

/* Called before what was drawn is shown. */
void export_finish(struct device *device);

#endif
