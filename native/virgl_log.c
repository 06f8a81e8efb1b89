/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl_log.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "virgl.h"

enum { LINES = 32 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char lines[LINES][VIRGL_TEXT];
static uint32_t oldest, kept;

/* Newer releases end their lines with a line feed and older ones do not; what a guest named is not
 * to be trusted. */
static void make_printable(char *text) {
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' ')) {
        text[--length] = '\0';
    }
    for (char *at = text; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            *at = '?';
        }
    }
}

void virgl_log(const char *format, va_list arguments) {
    pthread_mutex_lock(&lock);
    if (kept < LINES) {
        char *line = lines[(oldest + kept) % LINES];
        if (vsnprintf(line, VIRGL_TEXT, format, arguments) > 0) {
            make_printable(line);
            kept += *line != '\0';
        }
    }
    pthread_mutex_unlock(&lock);
}

uint32_t virgl_next_log_line(char *text) {
    uint32_t length = 0;
    pthread_mutex_lock(&lock);
    if (kept > 0) {
        length = (uint32_t)snprintf(text, VIRGL_TEXT, "%s", lines[oldest]);
        oldest = (oldest + 1) % LINES;
        kept--;
    }
    pthread_mutex_unlock(&lock);
    return length;
}
