/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A host blob as a file: who may map how much of it. */
#ifndef VGPUD_BLOB_FILE_H
#define VGPUD_BLOB_FILE_H

#include <stdbool.h>
#include <stdint.h>

/* [python] */
struct device;

/* A part of a file, in whole pages, which is there to its last byte. */
struct blob_file {
    int fd; /* the caller's */
    uint64_t offset;
    uint64_t length;
    uint32_t map_info; /* VIRTIO_GPU_MAP_CACHE_... */
    bool dmabuf;
};

/* For the guest's eyes.  -ENOENT: no such resource, or no host blob; -EINVAL: it was not to be
 * mapped, or its file is shorter than the guest has said; -EIO: it is lost; -EOPNOTSUPP: the
 * library has no file of it. */
int host_blob_export(struct device *device, uint32_t resource_id, struct blob_file *file);
/* [end python] */

struct resource;

/* For our own.  As above; it has not been lost. */
int blob_file_open(struct device *device, const struct resource *resource, struct blob_file *file);

#endif
