/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* DMA buffers of the library's textures, as struct gpu_operations says. */
#ifndef VGPUD_VIRGL_EXPORT_H
#define VGPUD_VIRGL_EXPORT_H

#include "render3d/gpu_library.h"

const char *virgl_export_buffer(struct gpu_library *library, uint32_t resource_id, int *fd,
                                struct present_buffer *buffer);
void virgl_flush_drawing(struct gpu_library *library);

#endif
