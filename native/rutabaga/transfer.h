/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Pixels between the library's resources and memory, as struct gpu_operations says. */
#ifndef VGPUD_RUTABAGA_TRANSFER_H
#define VGPUD_RUTABAGA_TRANSFER_H

#include "rutabaga/started.h"

int rutabaga_transfer_to_host(struct gpu_library *library, const struct gpu_transfer *transfer);
int rutabaga_transfer_from_host(struct gpu_library *library, const struct gpu_transfer *transfer);

#endif
