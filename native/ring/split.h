/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Split rings (VIRTIO 1.2, 2.7). */
#ifndef VGPUD_SPLIT_H
#define VGPUD_SPLIT_H

#include "ring/ring.h"

extern const struct ring_operations split_ring;

#endif
