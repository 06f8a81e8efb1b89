/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What comes back on the display socket.  A display answers each frame that it is shown from a DMA
 * buffer, which is the presenter's to know and nobody else's; all else goes on, as it came, to
 * those who have asked.
 */
#ifndef VGPUD_REPLIES_H
#define VGPUD_REPLIES_H

#include <stdbool.h>
#include <stdint.h>

#include "presenter/display_message.h"

struct replies {
    int fd; /* where the others go, -1: nothing is read */
    struct display_header header;
    uint32_t received; /* bytes of the header */
    uint32_t left;     /* bytes of the payload that are yet to come */
};

void replies_init(struct replies *replies);
/* Takes `fd` over, closing the one before: its reader sees the end. */
void replies_use(struct replies *replies, int fd);

/*
 * Reads what there is on `display`.  How many frames have been shown, or -EPIPE: the display has
 * gone, -EPROTO: it says what cannot be understood, or faster than anybody listens.
 */
int replies_receive(struct replies *replies, int display);

#endif
