/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library's own log.  A guest can make it write without end and its callback has no cookie, so
 * the lines go into one small buffer of the process, from which Python fetches them when it has
 * time; what does not fit is lost.
 */
#ifndef VGPUD_VIRGL_LOG_H
#define VGPUD_VIRGL_LOG_H

#include <stdarg.h>

/* A virgl_debug_callback: from any thread. */
void virgl_log(const char *format, va_list arguments);

#endif
