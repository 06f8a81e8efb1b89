/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What is written to the display socket next.  Messages of the session and the cursor come first,
 * then
 * scanouts (an UPDATE before its SCANOUT crashes QEMU), then small rectangles, many at once, and
 * images in turn.
 */
#ifndef VGPUD_OUTGOING_H
#define VGPUD_OUTGOING_H

#include "presenter/presenter_state.h"

/* Gives the idle sender its next message; false: there is none. */
bool presenter_begin_next(struct presenter *presenter);
/* The sender has written what it was given. */
void presenter_complete(struct presenter *presenter);
/* The display has gone in the middle of it. */
void presenter_take_back(struct presenter *presenter);

#endif
