/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Lines for the daemon's log, which it reads from this process's standard error.  A guest can cause
 * any number of them, so each kind is limited to some lines a minute, and those left out are
 * counted.
 */
#ifndef VGPUD_LIMITED_LOG_H
#define VGPUD_LIMITED_LOG_H

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <time.h>

struct limited_log {
    const char *subject; /* each line begins with it */
    int priority;        /* as in sd-daemon(3); the daemon reads it */
    pthread_mutex_t lock;
    time_t since;
    uint32_t written, suppressed;
};

enum { PRIORITY_WARNING = 4, PRIORITY_INFO = 6 };

#define LIMITED_LOG(text, level)                                                                   \
    { .subject = (text), .priority = (level), .lock = PTHREAD_MUTEX_INITIALIZER }

/* From any thread. */
void limited_log_write(struct limited_log *log, const char *format, va_list arguments);
void limited_log_say(struct limited_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The guest's command `type` was answered with the error `response` (VIRTIO 1.2, section 5.7.6.7).
 */
void limited_log_refusal(uint32_t type, uint32_t response);

#endif
