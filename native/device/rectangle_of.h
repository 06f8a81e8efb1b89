/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A rectangle in a guest's command. */
#ifndef VGPUD_RECTANGLE_OF_H
#define VGPUD_RECTANGLE_OF_H

#include <linux/virtio_gpu.h>

#include "shared/rectangle.h"

static inline struct rectangle rectangle_of(const struct virtio_gpu_rect *rect) {
    return (struct rectangle){
        .x = rect->x, .y = rect->y, .width = rect->width, .height = rect->height};
}

#endif
