/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a guest can make a device keep (the configuration's [limits]). */
#ifndef VGPUD_LIMITS_H
#define VGPUD_LIMITS_H

#include <stdint.h>

/* [python] */
struct device_limits {
    uint64_t image_bytes; /* of all images and textures together: see images.h */
    uint64_t request_bytes;
    uint32_t resources;
    uint32_t backing_entries; /* of all resources together */
    uint32_t contexts;
    uint64_t submit_bytes; /* of one SUBMIT_3D */
    uint64_t blob_bytes;   /* of all host blobs together, as the guest states it */
};
/* [end python] */

#endif
