/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "virgl_log.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 256, BURST = 20, SECONDS = 60 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static time_t since;
static uint32_t written, suppressed;

/* Newer releases end their lines with a line feed and older ones do not; what a guest named is not
 * to be trusted. */
static void make_printable(char *text) {
    size_t length = strlen(text);

    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        text[--length] = '\0';
    for (char *at = text; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

static void write_line(const char *text) {
    char line[LINE + 64];
    int length = snprintf(line, sizeof(line), "vgpud: device process %d: virglrenderer: %s\n",
                          (int)getpid(), text);

    (void)!write(STDERR_FILENO, line, (size_t)length);
}

/* Whether another line is within what may be written in a minute. */
static int admit(void) {
    struct timespec now;
    char text[LINE];

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec - since >= SECONDS) {
        snprintf(text, sizeof(text), "%u more lines", suppressed);
        if (suppressed > 0)
            write_line(text);
        since = now.tv_sec;
        written = suppressed = 0;
    }
    if (written < BURST)
        return (int)++written;
    suppressed++;
    return 0;
}

void virgl_log(const char *format, va_list arguments) {
    char text[LINE];

    pthread_mutex_lock(&lock);
    if (admit() && vsnprintf(text, sizeof(text), format, arguments) > 0) {
        make_printable(text);
        write_line(text);
    }
    pthread_mutex_unlock(&lock);
}
