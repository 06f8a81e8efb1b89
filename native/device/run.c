/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "device/run.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "device/burst.h"
#include "device/device.h"
#include "device/idle.h"
#include "device/renderers.h"
#include "device/rest.h"
#include "device/scanout.h"
#include "device/unanswered.h"
#include "ring/fault.h"
#include "shared/limited_log.h"

enum {
    NOTIFY_EVERY = 32,     /* commands between two checks whether the driver waits */
    POLL_MILLISECONDS = 1, /* between two looks at a ring that has no kick */
};

/* The largest request of any command that is executed here. */
union request {
    struct virtio_gpu_ctrl_hdr header;
    uint8_t bytes[72];
};

struct run {
    struct device *device;
    struct device_exit *exit;
    int error;
};

static bool leave(struct run *run, uint32_t reason) {
    run->exit->reason = reason;
    return true;
}

static bool leave_broken(struct run *run, int error) {
    queue_break(&run->device->queue);
    run->device->queue_error = 0;
    run->exit->error = error;
    return leave(run, EXIT_QUEUE_BROKEN);
}

/* --- one command */

static bool make_request_room(struct device *device, uint64_t length) {
    uint8_t *request;

    if (length <= device->request_room)
        return true;
    request = realloc(device->request, length);
    if (request == NULL)
        return false;
    device->request = request;
    device->request_room = length;
    return true;
}

/* Leaves device->chain to Python. */
static bool hand_over(struct run *run, const struct virtio_gpu_ctrl_hdr *header) {
    struct device *device = run->device;
    const struct chain *chain = &device->chain;
    uint64_t room = chain->writable_bytes;

    if (!make_request_room(device, chain->readable_bytes) || !unanswered_keep(device, header)) {
        respond_now(device, header, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
        return false;
    }
    run->exit->chain = chain->ticket.entry;
    run->exit->request = device->request;
    run->exit->request_length =
        (uint32_t)chain_read(chain, 0, device->request, chain->readable_bytes);
    run->exit->response_length = room > UINT32_MAX ? UINT32_MAX : (uint32_t)room;
    /* The header that was checked, whatever the guest has written there since. */
    memcpy(device->request, header, sizeof(*header));
    device->state->command = header->type; /* until Python returns, whose call may block too */
    return leave(run, EXIT_COMMAND);
}

/* For the process that has to answer it if this one dies now. */
static void note_request(struct device *device, const struct virtio_gpu_ctrl_hdr *header) {
    struct chain_state *chain = &device->state->queues[0].chains[device->chain.ticket.entry];

    chain->flags = header->flags;
    chain->fence_id = header->fence_id;
    chain->ctx_id = header->ctx_id;
    chain->ring_idx = header->ring_idx;
    device->state->command_ctx_id = header->ctx_id;
    device->state->progress++;
    device->state->counters.commands++;
}

static uint32_t execute_here(struct device *device, const struct command *command,
                             const union request *request, uint64_t length) {
    uint32_t response = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;

    if (length >= command->request_bytes) {
        device->state->command = command->type;
        response = command->execute(device, request);
    }
    if (response >= VIRTIO_GPU_RESP_ERR_UNSPEC)
        limited_log_refusal(command->type, response);
    return response;
}

/* Answers at once, unless the guest wants to wait until what a renderer has begun is done. */
static void respond(struct device *device, const struct virtio_gpu_ctrl_hdr *request,
                    uint32_t type) {
    const struct virtio_gpu_ctrl_hdr response = {.type = type};

    if (device->renderer->finishes_later && request->flags & VIRTIO_GPU_FLAG_FENCE &&
        unanswered_keep(device, request))
        device_respond(device, device->chain.ticket.entry, (const uint8_t *)&response,
                       sizeof(response));
    else
        respond_now(device, request, type);
}

/* Answers what had to wait for the renderer; true: some still waits. */
static bool release(struct device *device) {
    return device->renderer->release(device, false);
}

/* True: return to Python. */
static bool execute(struct run *run) {
    struct device *device = run->device;
    union request request = {0};
    uint64_t length = chain_read(&device->chain, 0, &request, sizeof(request));
    const struct command *command;

    note_request(device, &request.header);
    if (length < sizeof(request.header)) {
        memset(&request, 0, sizeof(request));
        respond_now(device, &request.header, VIRTIO_GPU_RESP_ERR_UNSPEC);
        return false;
    }
    command = renderer_command(device->renderer, request.header.type);
    if (device->chain.readable_bytes > device->limits.request_bytes &&
        (command == NULL || !command->any_length)) {
        respond_now(device, &request.header, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
        return false;
    }
    if (command == NULL)
        return hand_over(run, &request.header);
    /* A renderer may block in its fence too. */
    respond(device, &request.header, execute_here(device, command, &request, length));
    device->state->command = 0;
    return false;
}

/* --- a burst of them */

static void push_deferred(struct device *device) {
    if (device->deferred == 0)
        return;
    channel_receive(&device->channel);
    scanouts_push(device);
    channel_send_batch(&device->channel);
}

static bool link_readable(const struct device *device) {
    struct pollfd link = {.fd = device->link_fd, .events = POLLIN};

    return poll(&link, 1, 0) > 0;
}

/* In the middle of a burst: whether another descriptor wants attention. */
static bool look_around(struct run *run) {
    struct device *device = run->device;

    if (device->burst % NOTIFY_EVERY == 0)
        burst_tell(device);
    if (device->burst < BURST_LOOK_EVERY)
        return false;
    device->burst = 0;
    push_deferred(device);
    release(device);
    return link_readable(device) && leave(run, EXIT_LINK);
}

/* Works until nothing is available (false) or something needs Python (true). */
static bool work(struct run *run) {
    struct device *device = run->device;

    queue_refuse_kicks(&device->queue);
    for (;;) {
        int popped = queue_pop(&device->queue, &device->chain);
        if (popped < 0) {
            burst_notify(device);
            return leave_broken(run, popped);
        }
        if (popped == 0)
            return false;
        device->burst++;
        if (execute(run) || look_around(run))
            return true;
    }
}

/* --- between bursts */

/* Whether there is work, without a look at descriptors. */
static bool more_work(struct device *device) {
    bool held = release(device);

    burst_tell(device);
    push_deferred(device);
    return (!held && idle_spin(device)) || queue_want_kicks(&device->queue);
}

static void channel_ready(struct device *device) {
    channel_receive(&device->channel);
    device->channel.full = false;
    scanouts_push(device);
    channel_send_batch(&device->channel);
}

/* The presenter's events are needed only while something waits for it. */
static short channel_events(const struct device *device) {
    return (short)((device->deferred ? POLLIN : 0) | (device->channel.full ? POLLOUT : 0));
}

/* What has come of the kick, the link and the renderer, or -errno.  Mostly the presenter is not
 * waited for, and one system call is enough. */
static int wait_for_more(struct device *device, struct pollfd *presenter, int milliseconds) {
    struct pollfd fds[] = {{.fd = device->queue.kick.epoll, .events = POLLIN}, *presenter};

    if (presenter->events != 0) {
        if (poll(fds, 2, milliseconds) < 0)
            return errno == EINTR ? 0 : -errno;
        presenter->revents = fds[1].revents;
        if (fds[0].revents == 0)
            return 0;
        milliseconds = 0;
    }
    return kick_wait(&device->queue.kick, milliseconds);
}

static void kicked(struct device *device) {
    if (!queue_runs(&device->queue))
        return;
    device->state->counters.kicks++;
    idle_kicked(device);
}

/* As above, while a renderer's threads may give the answers that are held. */
static int sleep_for_more(struct device *device, struct pollfd *presenter, int milliseconds) {
    int came;

    if (queue_runs(&device->queue))
        device->renderer->sleep(device, true);
    came = wait_for_more(device, presenter, milliseconds);
    device->renderer->sleep(device, false);
    return came;
}

static bool sleep_until_something(struct run *run) {
    struct device *device = run->device;
    struct pollfd presenter = {.fd = device->channel.fd, .events = channel_events(device)};
    bool polls = queue_runs(&device->queue) && !kick_given(&device->queue.kick);
    int came = sleep_for_more(device, &presenter, polls ? POLL_MILLISECONDS : rest_timeout(device));

    if (came < 0) {
        run->error = came;
        return true;
    }
    device->burst = 0;
    device->state->progress++;
    if (came == 0 && !polls && !presenter.revents)
        rest_take(device);
    if (presenter.revents)
        channel_ready(device);
    if (came & KICK_CAME)
        kicked(device);
    return came & KICK_OTHER && leave(run, EXIT_LINK);
}

static void run_until_exit(struct run *run) {
    struct device *device = run->device;
    bool left = link_readable(device) && leave(run, EXIT_LINK);

    push_deferred(device);
    if (!left && device->queue_error < 0)
        left = leave_broken(run, device->queue_error);
    while (!left) {
        bool runs = queue_runs(&device->queue);
        left = runs && work(run);
        if (!left && !(runs && more_work(device)))
            left = sleep_until_something(run);
    }
}

static void run_guarded(void *argument) {
    struct run *run = argument;

    run_until_exit(run);
    /* Told before Python runs, which may take long. */
    if (queue_runs(&run->device->queue))
        burst_notify(run->device);
    channel_send_batch(&run->device->channel);
}

int device_run(struct device *device, struct device_exit *exit) {
    struct run run = {.device = device, .exit = exit};

    memset(exit, 0, sizeof(*exit));
    device->state->command = 0;
    device->state->counters.exits++;
    if (!fault_guarded(run_guarded, &run)) {
        device->queue.broken = true;
        exit->reason = EXIT_MEMORY_FAULT;
        return 0;
    }
    return run.error;
}
