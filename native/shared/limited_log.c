/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "shared/limited_log.h"

#include <linux/virtio_gpu.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 256, BURST = 20, SECONDS = 60 };

struct name {
    uint32_t number;
    const char *text;
};

/* The commands that are carried out without Python. */
static const struct name COMMANDS[] = {
    {VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, "TRANSFER_TO_HOST_2D"},
    {VIRTIO_GPU_CMD_RESOURCE_FLUSH, "RESOURCE_FLUSH"},
    {VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, "TRANSFER_TO_HOST_3D"},
    {VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, "TRANSFER_FROM_HOST_3D"},
    {VIRTIO_GPU_CMD_SUBMIT_3D, "SUBMIT_3D"},
    {0, "a command"},
};

static const struct name RESPONSES[] = {
    {VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY, "OUT_OF_MEMORY"},
    {VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, "INVALID_SCANOUT_ID"},
    {VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, "INVALID_RESOURCE_ID"},
    {VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID, "INVALID_CONTEXT_ID"},
    {VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, "INVALID_PARAMETER"},
    {0, "UNSPEC"},
};

static const char *name_of(const struct name *names, uint32_t number) {
    while (names->number != 0 && names->number != number)
        names++;
    return names->text;
}

/* A text may end with a line feed, and what a guest named may hold anything. */
static void make_printable(char *text) {
    size_t length = strlen(text);

    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        text[--length] = '\0';
    for (char *at = text; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

static void write_line(const struct limited_log *log, const char *text) {
    char line[LINE + 64];
    int length = snprintf(line, sizeof(line), "<%d>%s: %s\n", log->priority, log->subject, text);

    (void)!write(STDERR_FILENO, line, (size_t)length);
}

/* Whether another line may be written in this minute. */
static int admit(struct limited_log *log) {
    struct timespec now;
    char text[LINE];

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec - log->since >= SECONDS) {
        snprintf(text, sizeof(text), "%u more lines", log->suppressed);
        if (log->suppressed > 0)
            write_line(log, text);
        log->since = now.tv_sec;
        log->written = log->suppressed = 0;
    }
    if (log->written < BURST)
        return (int)++log->written;
    log->suppressed++;
    return 0;
}

void limited_log_write(struct limited_log *log, const char *format, va_list arguments) {
    char text[LINE];

    pthread_mutex_lock(&log->lock);
    if (admit(log) && vsnprintf(text, sizeof(text), format, arguments) > 0) {
        make_printable(text);
        write_line(log, text);
    }
    pthread_mutex_unlock(&log->lock);
}

void limited_log_say(struct limited_log *log, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    limited_log_write(log, format, arguments);
    va_end(arguments);
}

void limited_log_refusal(uint32_t type, uint32_t response) {
    static struct limited_log log = LIMITED_LOG("guest", PRIORITY_WARNING);

    limited_log_say(&log, "%s (%#06x) is refused: %s", name_of(COMMANDS, type), type,
                    name_of(RESPONSES, response));
}
