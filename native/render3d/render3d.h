/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a device has when its guest draws with a 3D library. */
#ifndef VGPUD_RENDER3D_H
#define VGPUD_RENDER3D_H

#include <stdbool.h>

#include "device/device.h"
#include "render3d/context.h"
#include "render3d/export.h"
#include "render3d/held.h"
#include "virgl/virgl.h"

struct virgl_device {
    struct virgl *virgl;
    struct virgl_export export; /* DMA buffers of its textures */
    struct virgl_context *contexts;
    uint32_t context_count, context_room;
    uint32_t last;   /* place of the context found last */
    uint8_t *stream; /* a copy of what a context is to do, out of the guest's reach */
    uint64_t stream_room;
    uint8_t *scratch; /* pixels between the library's format and the image's */
    uint64_t scratch_room;
    bool drawing; /* something was begun since the last fence */
    uint32_t last_fence;
    uint64_t last_ring_fence;
    uint32_t held_count;
    struct virgl_held held[QUEUE_SIZE_MAX];
};

#endif
