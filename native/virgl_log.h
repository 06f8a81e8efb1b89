/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library's own log, on standard error.  A guest can make it write without end, so it is cut to
 * some lines a minute; its callback has no cookie, so that count is the process's.
 */
#ifndef VGPUD_VIRGL_LOG_H
#define VGPUD_VIRGL_LOG_H

#include <stdarg.h>

/* A virgl_debug_callback: from any thread. */
void virgl_log(const char *format, va_list arguments);

#endif
