/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Transfers of several layers of a resource.  The library (up to 1.3) reads only the first layer
 * and ignores layer_stride; and it does not write a cube map's faces together.  So each layer is
 * transferred separately.
 */
#ifndef VGPUD_VIRGL_LAYERS_H
#define VGPUD_VIRGL_LAYERS_H

#include "render3d/gpu_library.h"

/* As struct gpu_operations says. */
int virgl_transfer_to_host(struct gpu_library *library, const struct gpu_transfer *transfer);
int virgl_transfer_from_host(struct gpu_library *library, const struct gpu_transfer *transfer);

#endif
