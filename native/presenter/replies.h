/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What comes back on the display socket.  A display answers each frame from a DMA buffer, which
 * only the presenter needs to know; everything else is passed on unchanged to those who have asked.
 */
#ifndef VGPUD_REPLIES_H
#define VGPUD_REPLIES_H

#include <stdbool.h>
#include <stdint.h>

#include "presenter/display_message.h"

struct replies {
    int fd; /* where the other replies go, -1: nothing is read */
    struct display_header header;
    uint32_t received; /* bytes of the header */
    uint32_t left;     /* bytes of the payload that have not come yet */
};

void replies_init(struct replies *replies);
/* Takes `fd` over and closes the previous one, whose reader sees the end. */
void replies_use(struct replies *replies, int fd);

/*
 * Reads what there is on `display`.  Returns how many frames were shown, or -EPIPE: the display has
 * gone, -EPROTO: it breaks the protocol, or sends faster than its replies are read.
 */
int replies_receive(struct replies *replies, int display);

#endif
