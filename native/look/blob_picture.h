/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a scanout shows of a guest blob, read by the session from guest memory. */
#ifndef VGPUD_BLOB_PICTURE_H
#define VGPUD_BLOB_PICTURE_H

#include <stdint.h>

#include "ring/memory.h"
#include "shared/state.h"

/* [python] */
/*
 * A new image (image.h) of the size of what is shown: its descriptor.  `entries`: the blob's
 * backing, nr_entries × struct virtio_gpu_mem_entry; `blob_bytes`: its size.  No number is trusted.
 * -EINVAL: the surface is not inside the blob, or the picture has more than `most` bytes; -EFAULT:
 * some of the backing is outside guest memory; -ENOMEM, -EMFILE.
 */
int blob_picture_new(struct guest_memory *memory, const uint8_t *entries, uint32_t nr_entries,
                     uint64_t blob_bytes, const struct surface_state *shown, uint64_t most);
/* [end python] */

#endif
