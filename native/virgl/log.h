/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library's own log, on standard error.  Its callback has no cookie, so there is one count of
 * lines for the process.
 */
#ifndef VGPUD_VIRGL_LOG_H
#define VGPUD_VIRGL_LOG_H

#include <stdarg.h>

/* A virgl_debug_callback: from any thread. */
void virgl_log(const char *format, va_list arguments);

/* From now on a guest causes its lines. */
void virgl_log_started(void);

#endif
