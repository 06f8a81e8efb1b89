/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "rutabaga/log.h"

#include "shared/limited_log.h"

static struct limited_log library_log = LIMITED_LOG("rutabaga", PRIORITY_WARNING);

void rutabaga_log(uint64_t user_data, const struct rutabaga_message *message) {
    (void)user_data;
    if (message->kind <= RUTABAGA_WARNING && message->text != NULL)
        limited_log_say(&library_log, "%s", message->text);
}
