/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Streams of cross-domain contexts, checked before the library gets them. */
#ifndef VGPUD_RUTABAGA_CROSS_DOMAIN_H
#define VGPUD_RUTABAGA_CROSS_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

/* Whether each command has a length: the library would read one without it for ever. */
bool cross_domain_ends(const uint8_t *stream, uint64_t bytes);

#endif
