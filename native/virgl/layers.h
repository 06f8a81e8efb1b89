/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Transfers of several layers of a resource.  Of what it reads the library (up to 1.3) reads the
 * first layer alone and takes no notice of layer_stride; a cube map's faces it does not write
 * together.  So each layer is transferred by itself.
 */
#ifndef VGPUD_VIRGL_LAYERS_H
#define VGPUD_VIRGL_LAYERS_H

#include "render3d/gpu_library.h"

/* As struct gpu_operations says. */
int virgl_transfer_to_host(struct gpu_library *library, const struct gpu_transfer *transfer);
int virgl_transfer_from_host(struct gpu_library *library, const struct gpu_transfer *transfer);

#endif
