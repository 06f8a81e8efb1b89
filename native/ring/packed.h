/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Packed rings (VIRTIO 1.2, 2.8). */
#ifndef VGPUD_PACKED_H
#define VGPUD_PACKED_H

#include "ring/ring.h"

extern const struct ring_operations packed_ring;

#endif
