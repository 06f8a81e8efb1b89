/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * How the device process's records change the queue of rectangles.  A scanout that changes its size
 * drops pixels for the old size; an image drops what it covers.
 */
#ifndef VGPUD_INCOMING_H
#define VGPUD_INCOMING_H

#include "presenter/presenter_state.h"

/* Takes the records that have come, as far as there is room.  -EPIPE: the device process has gone;
 * -EPROTO: it has broken the rules of present.h. */
int presenter_receive(struct presenter *presenter);

#endif
