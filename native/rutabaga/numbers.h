/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A short list of numbers, in no order. */
#ifndef VGPUD_RUTABAGA_NUMBERS_H
#define VGPUD_RUTABAGA_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

/* `numbers` has `count` of them and room for `room`. */
bool numbers_have(const uint32_t *numbers, uint32_t count, uint32_t number);
/* A number that is there already is not added again.  False: no memory. */
bool numbers_add(uint32_t **numbers, uint32_t *count, uint32_t *room, uint32_t number);
void numbers_remove(uint32_t *numbers, uint32_t *count, uint32_t number);

#endif
