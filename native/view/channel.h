/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The view process's end of the view channel: records in, with their descriptors; records out. */
#ifndef VGPUD_VIEW_CHANNEL_H
#define VGPUD_VIEW_CHANNEL_H

#include "shared/view.h"

struct view_message {
    struct view_record record;
    int fd; /* the receiver closes it, -1: none */
};

/* 1: a message; 0: none now; -EPIPE: the session has closed its end; -EPROTO. */
int view_channel_receive(int channel, struct view_message *message);
/* Waits for room; the record is lost when there is none for a second: then QEMU does not read. */
void view_channel_send(int channel, const struct view_record *record);

#endif
