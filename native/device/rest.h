/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A screen that stands still needs no room for the next picture: what is kept for a guest at work
 * is given back when it has rested for a second.  An image keeps its newest pixels; a scanout's own
 * picture none, since the blob has them.
 */
#ifndef VGPUD_REST_H
#define VGPUD_REST_H

struct device;

enum { REST_MILLISECONDS = 1000 };

/* How long to sleep at most until rest_take(); -1: there is nothing to give back. */
int rest_timeout(const struct device *device);

/* So long nobody wanted anything. */
void rest_take(struct device *device);

#endif
