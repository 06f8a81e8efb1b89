/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest blobs: guest memory that is the resource (VIRTIO 1.2, 5.7.6.8, VIRTIO_GPU_BLOB_MEM_GUEST).
 * The host keeps no pixels of one; scanouts that show it have pictures of their own (scanout.h),
 * into which RESOURCE_FLUSH copies what was drawn, once.
 */
#ifndef VGPUD_BLOB_RESOURCE_H
#define VGPUD_BLOB_RESOURCE_H

#include <stdint.h>

/* [python] */
struct device;

/* `bytes`: its size; its backing, at least that large, is attached as for any resource.  -EEXIST:
 * resource_id; -EINVAL: size 0; -ENOMEM: a quota. */
int resource_create_blob(struct device *device, uint32_t resource_id, uint64_t bytes);

/* Recovery: likewise, shown where the session state says that it was. */
int resource_adopt_blob(struct device *device, uint32_t resource_id, uint64_t bytes);
/* [end python] */

#endif
