/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest blobs that a context may use: resources of the guest's own memory, of which the library is
 * told when a context that one is attached to is about to do something.  They are shown as others
 * are.
 */
#ifndef VGPUD_GUEST_BLOB_H
#define VGPUD_GUEST_BLOB_H

#include <stdint.h>

struct device;
struct resource;

/* Makes the library know one; 0, also of what it knows already, or -errno: the context finds no
 * such resource. */
int guest_blob_promote(struct device *device, struct resource *resource, uint32_t ctx_id);

#endif
