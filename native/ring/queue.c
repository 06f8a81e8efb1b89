/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ring/fault.h"
#include "ring/packed.h"
#include "ring/split.h"

/* Feature bits of VIRTIO 1.2, 6. */
enum { RING_INDIRECT_DESC = 28, RING_EVENT_IDX = 29, RING_PACKED = 34 };

_Static_assert((int)QUEUE_SIZE_MAX == (int)STATE_CHAINS, "each chain in flight has an entry");

static const struct {
    int error;
    const char *text;
} ERRORS[] = {
    {ERANGE, "the available index is further ahead than the ring is long"},
    {EBADSLT, "a descriptor index is outside its table"},
    {ELOOP, "a descriptor chain is a loop, or too long"},
    {EBADMSG, "an indirect descriptor is malformed"},
    {EPROTO, "a readable descriptor follows a writable one"},
    {EFAULT, "an address is outside guest memory"},
    {EALREADY, "more descriptors are in flight than the ring has"},
    {EINVAL, "the ring's size, alignment or position is invalid"},
};

const char *queue_error_text(int error) {
    for (size_t i = 0; i < sizeof(ERRORS) / sizeof(ERRORS[0]); i++)
        if (ERRORS[i].error == -error)
            return ERRORS[i].text;
    return strerror(-error);
}

/* --- starting and stopping */

void queue_init(struct queue *queue) {
    memset(queue, 0, sizeof(*queue));
    kick_init(&queue->kick);
    queue->call_fd = queue->err_fd = -1;
}

static bool feature(const struct virtqueue_config *config, int bit) {
    return config->features >> bit & 1;
}

static int translate_area(struct queue *queue, uint64_t address, uint64_t length,
                          uint32_t alignment, uint8_t **bytes, uint64_t *guest_address) {
    if (queue->config.gpa_addresses)
        *guest_address = address;
    else if (!guest_memory_from_user(queue->memory, address, length, guest_address))
        return -EFAULT;
    *bytes = guest_memory_at(queue->memory, *guest_address, length);
    if (*bytes == NULL)
        return -EFAULT;
    return (uintptr_t)*bytes % alignment == 0 ? 0 : -EINVAL;
}

int queue_translate(struct queue *queue) {
    const struct virtqueue_config *config = &queue->config;
    struct ring_areas areas = queue->ring->areas(config->size);
    uint64_t available_guest;
    int error = translate_area(queue, config->descriptor, areas.descriptor, DESCRIPTOR_BYTES,
                               &queue->descriptor, &queue->descriptor_guest);

    if (error == 0)
        error = translate_area(queue, config->available, areas.available, areas.available_alignment,
                               &queue->available, &available_guest);
    if (error == 0)
        error =
            translate_area(queue, config->used, areas.used, 4, &queue->used, &queue->used_guest);
    return error;
}

static void forget_chains(struct queue *queue) {
    memset(queue->state->chains, 0, sizeof(queue->state->chains));
    queue->in_flight = queue->free_count = 0;
    for (uint32_t entry = QUEUE_SIZE_MAX; entry-- > 0;)
        queue->free[queue->free_count++] = (uint16_t)entry;
}

static int configure(struct queue *queue, struct guest_memory *memory,
                     const struct virtqueue_config *config, struct queue_state *state) {
    if (queue->started)
        return -EBUSY;
    queue->ring = feature(config, RING_PACKED) ? &packed_ring : &split_ring;
    if (config->size == 0 || config->size > QUEUE_SIZE_MAX ||
        !queue->ring->size_valid(config->size))
        return -EINVAL;
    queue->memory = memory;
    queue->state = state;
    queue->config = *config;
    queue->event_idx = feature(config, RING_EVENT_IDX);
    queue->indirect = feature(config, RING_INDIRECT_DESC);
    queue->broken = false;
    queue->kicks_wanted = true; /* what an unwritten ring says */
    queue->avail_seen = queue->used_notified = 0;
    queue->avail_wrap = queue->used_wrap = false;
    queue->pushed = queue->sequence = 0;
    return queue_translate(queue);
}

struct start {
    struct queue *queue;
    uint32_t base;
    int result;
};

static void set_base(void *argument) {
    struct start *start = argument;

    start->result = start->queue->ring->set_base(start->queue, start->base);
}

/* The one store that makes a chain taken (state.h). */
static void save_available(struct queue *queue) {
    uint64_t available = (uint64_t)queue->sequence << 32 | queue->ring->avail_position(queue);

    __atomic_store_n(&queue->state->available, available, __ATOMIC_RELEASE);
}

static void save_used(struct queue *queue) {
    __atomic_store_n(&queue->state->used, queue->ring->used_position(queue), __ATOMIC_RELEASE);
}

int queue_start(struct queue *queue, struct guest_memory *memory,
                const struct virtqueue_config *config, uint32_t base, struct queue_state *state) {
    struct start start = {.queue = queue, .base = base};
    int error = configure(queue, memory, config, state);

    if (error < 0)
        return error;
    if (!fault_guarded(set_base, &start))
        return -EFAULT;
    if (start.result < 0)
        return start.result;
    forget_chains(queue);
    state->completing = 0;
    save_available(queue);
    save_used(queue);
    queue->started = true;
    return 0;
}

uint32_t queue_stop(struct queue *queue) {
    uint32_t base = queue->started ? queue->ring->base(queue) : 0;

    queue->started = false;
    return base;
}

/* --- going on where another process has ended */

static bool sound(const struct queue *queue, const struct chain_state *chain, uint32_t taken) {
    bool packed = queue->ring == &packed_ring;

    if (!chain->in_flight || (int32_t)(chain->sequence - taken) >= 0)
        return false;
    if (chain->descriptors == 0 || chain->descriptors > queue->config.size - queue->in_flight)
        return false;
    return packed || chain->id < queue->config.size;
}

static void adopt_chains(struct queue *queue) {
    queue->in_flight = queue->free_count = 0;
    for (uint32_t entry = QUEUE_SIZE_MAX; entry-- > 0;) {
        struct chain_state *chain = &queue->state->chains[entry];
        if (sound(queue, chain, queue->sequence)) {
            queue->in_flight += chain->descriptors;
            continue;
        }
        chain->in_flight = 0;
        queue->free[queue->free_count++] = (uint16_t)entry;
    }
}

/*
 * If the other process ended while it gave a chain back, the ring tells whether the driver has it.
 */
static void finish_completing(struct queue *queue) {
    uint32_t entry = queue->state->completing - 1;
    struct chain_state *chain;
    uint32_t descriptors;

    if (entry >= QUEUE_SIZE_MAX || !queue->ring->published(queue))
        return;
    chain = &queue->state->chains[entry];
    descriptors = chain->descriptors;
    if (descriptors == 0 || descriptors > queue->config.size)
        return;
    queue->ring->skip_used(queue, (uint16_t)descriptors);
    chain->in_flight = 0;
}

static void recover(void *argument) {
    struct start *start = argument;
    struct queue *queue = start->queue;
    uint64_t available = queue->state->available;
    uint32_t used = queue->state->used;

    start->result = queue->ring->set_base(queue, (uint16_t)available | used << 16);
    if (start->result < 0)
        return;
    /* A split ring's index is one ahead when the other process ended just then. */
    if (queue->ring == &split_ring)
        queue->next_used = queue->used_notified = (uint16_t)used;
    queue->sequence = (uint32_t)(available >> 32);
    finish_completing(queue);
    adopt_chains(queue);
}

int queue_recover(struct queue *queue, struct guest_memory *memory,
                  const struct virtqueue_config *config, struct queue_state *state) {
    struct start start = {.queue = queue};
    int error = configure(queue, memory, config, state);

    if (error < 0)
        return error;
    if (!fault_guarded(recover, &start))
        return -EFAULT;
    if (start.result < 0)
        return start.result;
    state->completing = 0;
    save_used(queue);
    /* The driver may wait for an interrupt that the other process has not sent. */
    queue->pushed = queue->config.size;
    queue->used_notified = (uint16_t)(queue->next_used - queue->config.size);
    queue->started = true;
    return 0;
}

/* --- available */

/* So that another process can answer it if this one dies. */
static void note_chain(struct queue *queue, struct chain *chain) {
    const struct chain_piece *response = &chain->pieces[chain->readable];
    struct chain_state *entry;

    chain->ticket.entry = queue->free[--queue->free_count];
    entry = &queue->state->chains[chain->ticket.entry];
    *entry = (struct chain_state){
        .in_flight = 1,
        .sequence = queue->sequence,
        .id = chain->ticket.id,
        .descriptors = chain->ticket.descriptors,
        .response_address = chain->writable > 0 ? response->guest_address : 0,
        .response_length = chain->writable > 0 ? response->length : 0,
    };
    queue->in_flight += chain->ticket.descriptors;
    queue->sequence++;
    save_available(queue);
}

int queue_pop(struct queue *queue, struct chain *chain) {
    int result;

    chain_clear(chain);
    result = queue->ring->take(queue, chain);
    if (result <= 0)
        return result;
    if (queue->free_count == 0 || queue->in_flight + chain->ticket.descriptors > queue->config.size)
        return -EALREADY;
    note_chain(queue, chain);
    return 1;
}

bool queue_has_available(struct queue *queue) {
    return queue->ring->has_available(queue);
}

/* --- used */

void queue_give_back(struct queue *queue, const struct chain_ticket *ticket, uint32_t written) {
    struct queue_state *state = queue->state;

    /* In this order: see finish_completing(). */
    __atomic_store_n(&state->completing, ticket->entry + 1u, __ATOMIC_RELEASE);
    queue->ring->publish(queue, ticket, written);
    __atomic_store_n(&state->chains[ticket->entry].in_flight, 0, __ATOMIC_RELEASE);
    save_used(queue);
    __atomic_store_n(&state->completing, 0, __ATOMIC_RELEASE);

    queue->free[queue->free_count++] = ticket->entry;
    queue->in_flight -= ticket->descriptors;
    queue->pushed += ticket->descriptors;
}

/* --- notifications */

/* The VMM has the same open file, and may have made its writes block when it is full.  A full
 * eventfd is signalled already: then nothing is written. */
static void signal_eventfd(int fd) {
    struct pollfd eventfd = {.fd = fd, .events = POLLOUT};
    uint64_t one = 1;

    if (fd >= 0 && poll(&eventfd, 1, 0) == 1 && eventfd.revents & POLLOUT)
        (void)!write(fd, &one, sizeof(one));
}

bool queue_notify(struct queue *queue) {
    bool wanted;

    if (queue->pushed == 0)
        return false;
    /* What was pushed must be visible before we read what the driver waits for (2.7.10); the driver
     * does it the other way round. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    wanted = queue->ring->interrupt_wanted(queue);
    queue->pushed = 0;
    if (wanted)
        signal_eventfd(queue->call_fd);
    return wanted;
}

bool queue_want_kicks(struct queue *queue) {
    queue->ring->set_kicks(queue, true);
    queue->kicks_wanted = true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return queue->ring->has_available(queue);
}

void queue_refuse_kicks(struct queue *queue) {
    if (queue->kicks_wanted)
        queue->ring->set_kicks(queue, false);
    queue->kicks_wanted = false;
}

void queue_break(struct queue *queue) {
    queue->broken = true;
    signal_eventfd(queue->err_fd);
}

/* --- descriptors */

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int set_fd(int *place, int fd) {
    int copy = -1;

    if (fd >= 0) {
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
            return -errno;
    }
    close_fd(place);
    *place = copy;
    return 0;
}

int queue_set_fd(struct queue *queue, int which, int fd) {
    switch (which) {
    case QUEUE_KICK:
        return kick_set(&queue->kick, fd);
    case QUEUE_CALL:
        return set_fd(&queue->call_fd, fd);
    case QUEUE_ERR:
        return set_fd(&queue->err_fd, fd);
    default:
        return -EINVAL;
    }
}

void queue_close_fds(struct queue *queue) {
    kick_close(&queue->kick);
    close_fd(&queue->call_fd);
    close_fd(&queue->err_fd);
}
