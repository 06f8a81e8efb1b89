/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The device's half of a virtqueue, split (VIRTIO 1.2, 2.7) and packed (2.8).
 *
 * The guest owns the ring: each field is fetched once, into a local, and checked there.  A ring
 * that cannot be trusted is reported as a broken queue, and not read again.  Everything but
 * starting and stopping touches guest memory: call it inside fault_guarded().
 */
#ifndef VGPUD_QUEUE_H
#define VGPUD_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/ring.h"

/* [python] */
enum { QUEUE_KICK, QUEUE_CALL, QUEUE_ERR };

/* What is wrong with a queue, in words, for the negative errno that it was reported with. */
const char *queue_error_text(int error);
/* [end python] */

/* No descriptors, not started; without kick_open() it cannot have a kick. */
void queue_init(struct queue *queue);

/*
 * Starts at `base` in vhost-user's form (split: the index; packed: bits 0-14 available place, 15
 * its wrap, 16-30 and 31 the used ones).  Descriptors and `enabled` stay as they are.  -EINVAL: the
 * size or an alignment is wrong; -EFAULT: not in guest memory.
 */
int queue_start(struct queue *queue, struct guest_memory *memory,
                const struct virtqueue_config *config, uint32_t base, struct queue_state *state);

/*
 * Likewise, from where `state` says that another process left it; chains in flight stay in flight.
 */
int queue_recover(struct queue *queue, struct guest_memory *memory,
                  const struct virtqueue_config *config, struct queue_state *state);

/* Returns the base to start from again. */
uint32_t queue_stop(struct queue *queue);

/* Duplicates `fd`, -1: none; closes the previous one. */
int queue_set_fd(struct queue *queue, int which, int fd);
void queue_close_fds(struct queue *queue);

/* After a change of the memory table; -EFAULT: the rings are no longer in it. */
int queue_translate(struct queue *queue);

/* Whether it is to be worked on: started, enabled and not broken. */
static inline bool queue_runs(const struct queue *queue) {
    return queue->started && queue->enabled && !queue->broken;
}

/* 1: the next chain; 0: there is none; negative: the queue is broken (queue_break() it). */
int queue_pop(struct queue *queue, struct chain *chain);

/* Gives a chain back with the number of bytes written into it; the driver sees it at once. */
void queue_give_back(struct queue *queue, const struct chain_ticket *ticket, uint32_t written);

static inline void queue_push(struct queue *queue, const struct chain *chain, uint32_t written) {
    queue_give_back(queue, &chain->ticket, written);
}

/* Interrupts the driver if it wants that for what was pushed since the last call; true if so. */
bool queue_notify(struct queue *queue);

/* Asks for a kick when something becomes available; true: something is already there. */
bool queue_want_kicks(struct queue *queue);
/* Asks for no kicks for now. */
void queue_refuse_kicks(struct queue *queue);
/* Whether the driver has made something available, from a look at the ring. */
bool queue_has_available(struct queue *queue);

/* It is not worked on until it is started again; signals the error descriptor. */
void queue_break(struct queue *queue);

#endif
