/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What resources of all kinds have: a number, guest memory that backs them, a UUID, an end. */
#ifndef VGPUD_RESOURCE_H
#define VGPUD_RESOURCE_H

#include <stdint.h>

/* [python] */
struct device;

/* RESOURCE_IMAGE, RESOURCE_TEXTURE, RESOURCE_BLOB, RESOURCE_HOST_BLOB; -ENOENT. */
int resource_kind(struct device *device, uint32_t resource_id);

/* Borrowed; -ENOENT: no such resource, or it has no image (yet). */
int resource_image_fd(struct device *device, uint32_t resource_id);

/* -ENOENT.  Scanouts that show it are disabled. */
int resource_unref(struct device *device, uint32_t resource_id);

/* `entries`: nr_entries × struct virtio_gpu_mem_entry.  -ENOENT; -EBUSY: it has backing; -EFAULT:
 * outside guest memory; -EINVAL: less than a blob's size; -ENOMEM: a quota. */
int resource_attach_backing(struct device *device, uint32_t resource_id, const uint8_t *entries,
                            uint32_t nr_entries);
/* -ENOENT; -ENODATA: it has no backing. */
int resource_detach_backing(struct device *device, uint32_t resource_id);

/* 16 bytes.  -ENOENT; -ENODATA: it has been given none. */
int resource_uuid(struct device *device, uint32_t resource_id, uint8_t *uuid);
int resource_set_uuid(struct device *device, uint32_t resource_id,
                      const uint8_t *uuid); /* -ENOENT */
/* [end python] */

struct resource;
struct resource_kind;

/* 0; -EEXIST: the number is taken, or 0, which means no resource; -ENOMEM: the quota. */
int resource_check_new(struct device *device, uint32_t resource_id);
/* Puts it into the table; the kind's parts are filled in later.  NULL: no memory. */
struct resource *resource_new(struct device *device, const struct resource_kind *kind,
                              uint32_t resource_id, uint32_t format);

/* No scanout may show it any more. */
void resource_destroy(struct device *device, struct resource *resource);
void resources_destroy_all(struct device *device);

/* After a change of the memory table: looks every backing up again; one that is no longer complete
 * is lost. */
void resources_translate(struct device *device);

#endif
