/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A surface: what a scanout shows of a resource, and the layout of its pixels. */
#ifndef VGPUD_SURFACE_H
#define VGPUD_SURFACE_H

#include <stdint.h>

#include "shared/layout.h"
#include "shared/rectangle.h"

struct resource;

struct surface {
    struct resource *resource; /* NULL: nothing is shown */
    struct rectangle shown;    /* of the surface */
    struct layout layout;      /* format is the resource's, whatever an image has */
};

#endif
