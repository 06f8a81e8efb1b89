/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Host blobs: memory that the library has made for a context, in some cases together with guest
 * memory (VIRTIO 1.2, 5.7.6.8, VIRTIO_GPU_BLOB_MEM_HOST3D and VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST).
 * The guest sees one when its VMM has mapped the file that the library exports.
 */
#ifndef VGPUD_HOST_BLOB_H
#define VGPUD_HOST_BLOB_H

#include <stdint.h>

#include "render3d/gpu_library.h"

/* [python] */
struct device;

/* Whether the guest can have any. */
int device_has_host_blobs(struct device *device);

/* `entries`: nr_entries × struct virtio_gpu_mem_entry, the guest's part.  -EEXIST: resource_id;
 * -ESRCH: no such context; -EINVAL: an impossible kind of memory, size or guest memory, or the
 * library refuses; -EFAULT: outside guest memory; -ENOMEM: a quota. */
int resource_create_host_blob(struct device *device, const struct host_blob *blob,
                              const uint8_t *entries, uint32_t nr_entries);

/* Recovery: its contents died with the process that made it.  It can only be destroyed.  -EEXIST,
 * -ENOMEM. */
int resource_adopt_host_blob(struct device *device, uint32_t resource_id, uint64_t size);
/* [end python] */

#endif
