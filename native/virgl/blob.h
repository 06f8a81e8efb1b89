/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* libvirglrenderer's blobs, and the files that they are mapped from. */
#ifndef VGPUD_VIRGL_BLOB_H
#define VGPUD_VIRGL_BLOB_H

#include "render3d/gpu_library.h"

/* Operations of struct gpu_operations. */
int virgl_blob_create(struct gpu_library *library, const struct host_blob *blob, struct iovec *iov,
                      uint32_t count);
int virgl_blob_export(struct gpu_library *library, uint32_t resource_id,
                      struct blob_export *exported);
int virgl_blob_texture(struct gpu_library *library, uint32_t resource_id,
                       struct resource_3d *texture);

#endif
