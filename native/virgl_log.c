/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl_log.h"

#include "limited_log.h"

void virgl_log(const char *format, va_list arguments) {
    static struct limited_log log = LIMITED_LOG("virglrenderer");

    limited_log_write(&log, format, arguments);
}
