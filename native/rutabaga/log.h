/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the library says. */
#ifndef VGPUD_RUTABAGA_LOG_H
#define VGPUD_RUTABAGA_LOG_H

#include "rutabaga/api.h"

/* struct rutabaga_builder's `debug`.  Called from any thread, and with the library's lock held: it
 * must not be called from here. */
void rutabaga_log(uint64_t user_data, const struct rutabaga_message *message);

#endif
