/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The pixel formats of VIRTIO 1.2, 5.7.6.8 (four bytes each, named in memory order), and their
 * conversion into an image, which is always B, G, R, A.
 */
#ifndef VGPUD_FORMAT_H
#define VGPUD_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Converts `count` pixels that do not overlap; neither pointer needs an alignment. */
typedef void (*format_convert)(uint8_t *restrict to, const uint8_t *restrict from, size_t count);

/* NULL: VIRTIO 1.2 does not know the format. */
format_convert format_converter(uint32_t format);

/* The same past the caches (uncached.h), if there is one. */
format_convert format_uncached(format_convert convert);

#endif
