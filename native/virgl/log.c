/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl/log.h"

#include "shared/limited_log.h"

/* What it logs while it starts is only information. */
static struct limited_log library_log = LIMITED_LOG("virglrenderer", PRIORITY_INFO);

void virgl_log(const char *format, va_list arguments) {
    limited_log_write(&library_log, format, arguments);
}

void virgl_log_started(void) {
    pthread_mutex_lock(&library_log.lock);
    library_log.priority = PRIORITY_WARNING;
    pthread_mutex_unlock(&library_log.lock);
}
