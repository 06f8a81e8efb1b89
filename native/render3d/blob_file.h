/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A host blob as a file: how much of it may be mapped, and by whom. */
#ifndef VGPUD_BLOB_FILE_H
#define VGPUD_BLOB_FILE_H

#include <stdbool.h>
#include <stdint.h>

/* [python] */
struct device;

/* A part of a file, in whole pages, which exists to its last byte. */
struct blob_file {
    int fd; /* the caller owns it */
    uint64_t offset;
    uint64_t length;
    uint32_t map_info; /* VIRTIO_GPU_MAP_CACHE_... */
    bool dmabuf;
};

/* For the guest.  -ENOENT: no such resource, or not a host blob; -EINVAL: it was created without
 * the flag for mapping, or its file is shorter than the guest has said; -EIO: it is lost;
 * -EOPNOTSUPP: the library has no file for it. */
int host_blob_export(struct device *device, uint32_t resource_id, struct blob_file *file);
/* [end python] */

struct resource;

/* For ourselves, likewise; it must not be lost. */
int blob_file_open(struct device *device, const struct resource *resource, struct blob_file *file);

#endif
