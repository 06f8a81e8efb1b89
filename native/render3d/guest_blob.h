/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest blobs that a context may use: resources of the guest's own memory.  The library is told of
 * one when a context that it is attached to is about to do something.  They are shown like other
 * guest blobs.
 */
#ifndef VGPUD_GUEST_BLOB_H
#define VGPUD_GUEST_BLOB_H

#include <stdint.h>

struct device;
struct resource;

/* Tells the library of one; 0, also if it knows it already, or -errno: the context finds no such
 * resource. */
int guest_blob_promote(struct device *device, struct resource *resource, uint32_t ctx_id);

#endif
