/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The library's log. */
#ifndef VGPUD_RUTABAGA_LOG_H
#define VGPUD_RUTABAGA_LOG_H

#include "rutabaga/api.h"

/* struct rutabaga_builder's `debug`.  Called from any thread, and with the library's lock held: do
 * not call the library from here. */
void rutabaga_log(uint64_t user_data, const struct rutabaga_message *message);

#endif
