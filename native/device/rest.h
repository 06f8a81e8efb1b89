/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A screen that does not change needs no room for the next picture: what is kept for a busy guest
 * is given back after a second without commands.  An image keeps its newest pixels; a scanout's own
 * picture keeps none, since the blob has them.
 */
#ifndef VGPUD_REST_H
#define VGPUD_REST_H

struct device;

enum { REST_MILLISECONDS = 1000 };

/* How long to sleep at most until rest_take(); -1: there is nothing to give back. */
int rest_timeout(const struct device *device);

/* Gives it back: the time has passed without commands. */
void rest_take(struct device *device);

#endif
