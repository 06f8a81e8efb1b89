/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the parts of the device process's data plane share. */
#ifndef VGPUD_DEVICE_H
#define VGPUD_DEVICE_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/channel.h"
#include "device/resource_table.h"
#include "device/run.h"
#include "render3d/export.h"
#include "ring/chain.h"
#include "ring/queue.h"
#include "shared/rectangle.h"
#include "shared/stream.h"

struct scanout {
    struct resource *resource; /* NULL: disabled */
    struct rectangle shown;    /* of the resource */
    bool announce;             /* its size has yet to be told */
    bool flushed;              /* `damage` may be sent: the resource was flushed since it was set */
    struct rectangle damage;   /* of the scanout: yet to be sent */
};

/* A command that is executed here.  Returns the response's type. */
struct command {
    uint32_t type;
    uint32_t request_bytes; /* a shorter request is refused */
    uint32_t (*execute)(struct device *device, const void *request);
    bool any_length; /* it has a limit of its own */
};

/* What a renderer that holds more than images has to hear of. */
struct renderer_hooks {
    /* The resource is about to be shown and has no image yet; 0 or -errno. */
    int (*make_canvas)(struct device *device, struct resource *resource);
    /* It has just got its image: takes its DMA buffer too, where it has one that can be shown. */
    void (*export_buffer)(struct device *device, struct resource *resource);
    /* Brings a rectangle of what was drawn into its image; 0, or an error. */
    int (*read_back)(struct device *device, struct resource *resource,
                     const struct rectangle *rectangle);
    /* Its backing came, went or moved. */
    void (*backing_changed)(struct device *device, struct resource *resource);
    /* It is about to go. */
    void (*destroyed)(struct device *device, struct resource *resource);
    void (*reset)(struct device *device);
    /* device->unanswered[chain] is to be answered so; true: later, by the renderer, when what was
     * begun before it is done. */
    bool (*hold)(struct device *device, uint32_t chain, const uint8_t *response, uint32_t length);
    /* Answers what was held and may be now; `all`: what may not as well, the queue stops.  True:
     * something is held still. */
    bool (*release)(struct device *device, bool all);
    /* Readable when there may be something to release. */
    int (*release_fd)(const struct device *device);
};

/* What a renderer does without Python: `commands` ends with type 0. */
struct renderer {
    const struct command *commands;
    bool draws;                         /* images have pixels and are presented */
    const struct renderer_hooks *hooks; /* NULL: none */
};

/* The largest request of any command that is executed here. */
union request {
    struct virtio_gpu_ctrl_hdr header;
    uint8_t bytes[72];
};

/* A chain that Python has yet to answer.  Addresses: the memory table may change meanwhile. */
struct unanswered {
    struct chain_ticket ticket;
    struct virtio_gpu_ctrl_hdr header;
    uint32_t count;
    struct {
        uint64_t guest_address;
        uint32_t length;
    } pieces[];
};

/* How long it pays to look for more work before sleeping (idle.h); all in nanoseconds. */
struct patience {
    uint64_t spin;
    uint64_t idle_since, yield_until; /* CLOCK_MONOTONIC */
};

struct device {
    struct guest_memory *memory;
    struct memory_watcher watcher;
    struct session_state *state;
    int link_fd;
    const struct renderer *renderer;
    struct device_limits limits;
    uint32_t num_scanouts;

    struct resource_table resources;
    struct virgl_device *virgl; /* render3d.h; NULL: another renderer */
    struct virgl_export export; /* DMA buffers of its textures */
    uint64_t image_bytes;       /* against the limits */
    uint64_t backing_entries;
    uint32_t lost_backings; /* of which nobody has heard */
    uint32_t next_image_id;

    struct scanout scanouts[STATE_SCANOUTS];
    struct channel channel;
    uint32_t deferred; /* a bit for each scanout that has something yet to be sent */

    struct queue queue;
    int queue_error; /* to be reported by the next device_run() */
    struct unanswered *unanswered[QUEUE_SIZE_MAX];
    struct patience patience;
    struct stream_choice stream;
    uint64_t unnotified; /* bytes copied since the driver was last told of what is done */
    uint32_t burst;      /* commands since the last look at other descriptors */

    uint8_t *request; /* of EXIT_COMMAND */
    size_t request_room;
    struct chain chain;
};

/* Before a command copies `bytes`: the driver hears of what is done before something long. */
void device_expect_copy(struct device *device, uint64_t bytes);

/* No scanout may show it any more. */
void resource_destroy(struct device *device, struct resource *resource);

#endif
