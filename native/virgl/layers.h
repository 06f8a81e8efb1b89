/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Transfers of several layers of a resource.  Of what it reads the library (up to 1.3) reads the
 * first layer alone and takes no notice of layer_stride; a cube map's faces it does not write
 * together.  So each layer is transferred by itself.
 */
#ifndef VGPUD_VIRGL_LAYERS_H
#define VGPUD_VIRGL_LAYERS_H

#include <linux/virtio_gpu.h>

#include "render3d/texture.h"

/* TRANSFER_TO_HOST_3D and TRANSFER_FROM_HOST_3D, from and to the backing; 0, or what the library
 * said. */
int virgl_write_layers(const struct virgl_api *api, const struct virgl_resource *resource,
                       const struct virtio_gpu_transfer_host_3d *command);
int virgl_read_layers(const struct virgl_api *api, const struct virgl_resource *resource,
                      const struct virtio_gpu_transfer_host_3d *command);

#endif
