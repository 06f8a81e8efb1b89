/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A surface: what a scanout shows of a resource, and how its pixels lie there. */
#ifndef VGPUD_SURFACE_H
#define VGPUD_SURFACE_H

#include <stdint.h>

#include "shared/rectangle.h"

struct resource;

struct surface {
    struct resource *resource; /* NULL: nothing is shown */
    struct rectangle shown;    /* of the surface */
    uint32_t width, height;    /* of the surface */
    uint32_t format;           /* VIRTIO_GPU_FORMAT_* of the resource, whatever an image has */
    uint32_t stride;           /* bytes from one row to the next */
    uint64_t offset;           /* of the first pixel in the resource, bytes */
};

#endif
