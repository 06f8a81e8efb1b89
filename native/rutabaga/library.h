/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* librutabaga_gfx_ffi, opened at run time. */
#ifndef VGPUD_RUTABAGA_LIBRARY_H
#define VGPUD_RUTABAGA_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "rutabaga/api.h"

/* Fills the table; `takes_features`: whether the release reads rutabaga_builder's last field.
 * `text` gets the library's name, or the reason of the failure, which is -ENOENT, or -ENOSYS for a
 * library without a function that we need. */
int rutabaga_library_open(struct rutabaga_api *api, bool *takes_features, char *text, size_t size);

#endif
