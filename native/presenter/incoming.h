/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the device process's records make of the queue of rectangles.  A scanout that changes its
 * size drops what was to be drawn in the old one, an image what it covers.
 */
#ifndef VGPUD_INCOMING_H
#define VGPUD_INCOMING_H

#include "presenter/presenter_state.h"

/* Takes the records that have come, as far as there is room.  -EPIPE: the device process has gone;
 * -EPROTO: it has broken the rules of present.h. */
int presenter_receive(struct presenter *presenter);

#endif
