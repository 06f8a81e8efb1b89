/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Blobs, of which a renderer that draws nothing keeps no more than their numbers and backing. */
#ifndef VGPUD_BLOB_RESOURCE_H
#define VGPUD_BLOB_RESOURCE_H

#include <stdint.h>

/* [python] */
struct device;

/* -EEXIST: resource_id; -ENOMEM: a quota. */
int resource_create_blob(struct device *device, uint32_t resource_id);
/* [end python] */

#endif
