/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * device_run() with a guest that is made of the fuzzer's bytes: commands with fields at their
 * limits in chains cut anywhere, a presenter that reads, releases or sends nonsense, and Python's
 * commands in a few lines of C.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/virtio_gpu.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "device/blob_resource.h"
#include "device/control_queue.h"
#include "device/image_resource.h"
#include "device/lifetime.h"
#include "device/resource.h"
#include "device/run.h"
#include "device/scanout.h"
#include "device/unanswered.h"
#include "machine.h"
#include "render3d/blob_file.h"
#include "render3d/context.h"
#include "render3d/host_blob.h"
#include "render3d/null_library.h"
#include "render3d/renderer_3d.h"
#include "render3d/texture.h"
#include "shared/present.h"

enum {
    STEPS = 48,
    REQUEST_AT = 0x4000,
    RESPONSE_AT = 0x7ff0,
    SCANOUTS = 3,
    RUN_NANOSECONDS = 30000
};

struct guest {
    struct machine *machine;
    struct device *device;
    struct gpu_library *library; /* NULL: only 2D */
    struct virtqueue_config config;
    int timer, presenter;
    uint16_t avail_idx;
    bool wrap;
    uint32_t unanswered; /* 1 + chain */
    struct present_record last;
};

/* --- the driver */

static void write_descriptor(struct guest *guest, uint32_t index, uint64_t address, uint32_t length,
                             uint16_t third, uint16_t fourth) {
    uint8_t *at = guest->machine->bytes + DESCRIPTOR_AT + (index % guest->config.size) * 16;

    memcpy(at, &address, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, &third, 2);
    memcpy(at + 14, &fourth, 2);
}

static bool packed(const struct guest *guest) {
    return guest->config.features >> 34 & 1;
}

static void offer_split(struct guest *guest, uint32_t length, uint32_t room) {
    uint8_t *available = guest->machine->bytes + AVAILABLE_AT;
    uint16_t head = 0;

    write_descriptor(guest, 0, REQUEST_AT, length, guest->config.size > 1 ? 1 : 0, 1);
    if (guest->config.size > 1)
        write_descriptor(guest, 1, RESPONSE_AT, room, 2, 0);
    memcpy(available + 4 + 2 * (guest->avail_idx % guest->config.size), &head, 2);
    guest->avail_idx++;
    memcpy(available + 2, &guest->avail_idx, 2);
}

static uint16_t available_flags(const struct guest *guest) {
    return guest->wrap ? 1 << 7 : 1 << 15;
}

static void offer_packed(struct guest *guest, uint32_t length, uint32_t room) {
    const struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags;
    } parts[] = {{REQUEST_AT, length, 1}, {RESPONSE_AT, room, 2}};
    int count = guest->config.size > 1 ? 2 : 1;

    for (int i = 0; i < count; i++) {
        uint16_t flags = parts[i].flags | available_flags(guest);
        if (count == 1)
            flags &= (uint16_t)~1u;
        write_descriptor(guest, guest->avail_idx, parts[i].address, parts[i].length, 0, flags);
        if (++guest->avail_idx == guest->config.size) {
            guest->avail_idx = 0;
            guest->wrap = !guest->wrap;
        }
    }
}

/* --- requests */

/* The fields after the header, a letter for each 32 bits. */
static const struct {
    uint32_t type;
    const char *fields;
} COMMANDS[] = {
    {VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, "ccssnzi"},
    {VIRTIO_GPU_CMD_RESOURCE_FLUSH, "ccssi"},
    {VIRTIO_GPU_CMD_SET_SCANOUT, "ccssdi"},
    {VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, "ifss"},
    {VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, "ikazlzazlzazlzazlz"},
    {VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, "i"},
    {VIRTIO_GPU_CMD_RESOURCE_UNREF, "i"},
    {VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, "ikkkzzlzazlzazlz"},
    {VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, "ccssdissfzpzzzlzzz"},
    {VIRTIO_GPU_CMD_GET_DISPLAY_INFO, ""},
    {VIRTIO_GPU_CMD_CTX_CREATE, "zz"},
    {VIRTIO_GPU_CMD_CTX_DESTROY, ""},
    {VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, "iz"},
    {VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, "iz"},
    {VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, "ikfnsskkzzzz"},
    {VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, "cccssknzikzz"},
    {VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, "cccssknzikzz"},
    {VIRTIO_GPU_CMD_SUBMIT_3D, "kz"},
    {VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, "izzz"},
};

enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]), FIELDS = 20 };

static uint32_t choose(struct input *input, const uint32_t *values, uint8_t count) {
    uint8_t choice = input_u8(input);

    return choice < 0xf0 ? values[choice % count] : input_number(input);
}

static uint32_t field(struct input *input, char kind) {
    static const uint32_t SIDES[] = {1, 16, 64, 200, 300, 512}, STARTS[] = {0, 0, 0, 1, 64};
    static const uint32_t FORMATS[] = {1, 2, 3, 4, 67, 68, 121, 134};
    static const uint32_t ADDRESSES[] = {0, 0x4001, REGION_BYTES - 8, FAR_AT, FAR_AT + 0x7000};
    static const uint32_t STRIDES[] = {64, 256, 800, 1203, 2048};
    static const uint32_t LENGTHS[] = {0x1000, 0x8000, 0x10000, 4099, 3};

    switch (kind) {
    case 'c':
        return choose(input, STARTS, 5);
    case 's':
        return choose(input, SIDES, 6);
    case 'f':
        return choose(input, FORMATS, 8);
    case 'a':
        return choose(input, ADDRESSES, 5);
    case 'l':
        return choose(input, LENGTHS, 5);
    case 'p':
        return choose(input, STRIDES, 5);
    case 'i':
    case 'd':
    case 'k':
        return input_u8(input) % 5;
    case 'z':
        return input_u8(input) == 0xff;
    default:
        return input_number(input);
    }
}

static uint32_t write_request(struct guest *guest, struct input *input) {
    uint8_t *request = guest->machine->bytes + REQUEST_AT;
    uint8_t choice = input_u8(input);
    const char *fields = COMMANDS[choice % COMMAND_COUNT].fields;
    struct virtio_gpu_ctrl_hdr header = {.type = COMMANDS[choice % COMMAND_COUNT].type,
                                         .flags = choice >> 6,
                                         .fence_id = choice,
                                         .ctx_id = choice >> 4 & 3};
    uint32_t words[FIELDS] = {0};

    for (int i = 0; fields[i] != 0; i++)
        words[i] = field(input, fields[i]);
    memcpy(request, &header, sizeof(header));
    memcpy(request + sizeof(header), words, sizeof(words));
    return sizeof(header) + sizeof(words);
}

/* --- what Python does */

static int execute_3d(struct guest *guest, const struct virtio_gpu_ctrl_hdr *header,
                      const uint32_t *words) {
    struct device *device = guest->device;
    struct resource_3d resource;

    switch (guest->library != NULL ? header->type : 0) {
    case VIRTIO_GPU_CMD_CTX_CREATE:
        return context_create(device, header->ctx_id, 0, "", 0);
    case VIRTIO_GPU_CMD_CTX_DESTROY:
        return context_destroy(device, header->ctx_id);
    case VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE:
        return context_attach_resource(device, header->ctx_id, words[0]);
    case VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE:
        return context_detach_resource(device, header->ctx_id, words[0]);
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_3D:
        memcpy(&resource, words, sizeof(resource));
        return resource_create_3d(device, &resource);
    default:
        return 0;
    }
}

static int create_host_blob(struct device *device, const struct virtio_gpu_ctrl_hdr *header,
                            const uint32_t *words, const uint8_t *entries) {
    const struct host_blob blob = {.resource_id = words[0],
                                   .ctx_id = header->ctx_id,
                                   .blob_mem = words[1],
                                   .blob_flags = words[2],
                                   .blob_id = words[4],
                                   .size = words[6] | (uint64_t)words[7] << 32};

    return resource_create_host_blob(device, &blob, entries, words[3]);
}

/* What the session would get, and check. */
static int map_blob(struct device *device, const uint32_t *words) {
    struct blob_file file;
    int error = host_blob_export(device, words[0], &file);

    if (error == 0)
        close(file.fd);
    return error;
}

static int create_blob(struct guest *guest, const struct virtio_gpu_ctrl_hdr *header,
                       const uint8_t *request, uint32_t length, const uint32_t *words) {
    const uint32_t entries_at = sizeof(struct virtio_gpu_resource_create_blob);
    struct device *device = guest->device;
    int error;

    if (length < entries_at || words[3] > (length - entries_at) / 16)
        return -1;
    if (guest->library != NULL && words[1] != VIRTIO_GPU_BLOB_MEM_GUEST)
        return create_host_blob(device, header, words, request + entries_at);
    error = resource_create_blob(device, words[0], words[6] | (uint64_t)words[7] << 32);
    if (error < 0)
        return error;
    error = resource_attach_backing(device, words[0], request + entries_at, words[3]);
    if (error < 0)
        resource_unref(device, words[0]);
    return error;
}

static int set_scanout_blob(struct device *device, const uint32_t *words) {
    const struct surface_state shown = {.resource_id = words[5],
                                        .x = words[0],
                                        .y = words[1],
                                        .width = words[2],
                                        .height = words[3],
                                        .surface_width = words[6],
                                        .surface_height = words[7],
                                        .format = words[8],
                                        .stride = words[10],
                                        .offset = words[14]};

    return scanout_set_blob(device, words[4], &shown);
}

static int execute(struct guest *guest, const uint8_t *request, uint32_t length) {
    struct device *device = guest->device;
    struct virtio_gpu_ctrl_hdr header;
    uint32_t words[FIELDS] = {0}, bytes = length - sizeof(header);

    memcpy(&header, request, sizeof(header));
    if (length < sizeof(header) + sizeof(struct resource_3d))
        return -1;
    memcpy(words, request + sizeof(header), bytes < sizeof(words) ? bytes : sizeof(words));
    switch (header.type) {
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D:
        return resource_create_2d(device, words[0], words[1], words[2], words[3]);
    case VIRTIO_GPU_CMD_RESOURCE_UNREF:
        return resource_unref(device, words[0]);
    case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
        if (words[1] > (length - 32) / 16)
            return -1;
        return resource_attach_backing(device, words[0], request + 32, words[1]);
    case VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING:
        return resource_detach_backing(device, words[0]);
    case VIRTIO_GPU_CMD_SET_SCANOUT:
        return scanout_set(device, words[4], words[5], words[0], words[1], words[2], words[3]);
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
        return create_blob(guest, &header, request, length, words);
    case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
        return set_scanout_blob(device, words);
    case VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB:
        return map_blob(device, words);
    default:
        return execute_3d(guest, &header, words);
    }
}

static void respond(struct guest *guest, uint32_t chain, int result) {
    struct {
        struct virtio_gpu_ctrl_hdr header;
        uint8_t data[384];
    } response = {.header.type =
                      result < 0 ? VIRTIO_GPU_RESP_ERR_UNSPEC : VIRTIO_GPU_RESP_OK_NODATA};

    device_respond(guest->device, chain, (const uint8_t *)&response, sizeof(response));
}

static void answer(struct guest *guest, struct input *input, const struct device_exit *exit) {
    int result = execute(guest, exit->request, exit->request_length);

    if (guest->unanswered > 0 && input_u8(input) & 1) {
        respond(guest, guest->unanswered - 1, 0);
        guest->unanswered = 0;
    }
    if (guest->unanswered == 0 && input_u8(input) > 0xe0)
        guest->unanswered = exit->chain + 1;
    else
        respond(guest, exit->chain, result);
}

/* --- the presenter */

static void send_record(struct guest *guest, const struct present_record *record) {
    (void)!send(guest->presenter, record, sizeof(*record), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void close_attached(struct msghdr *message) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        int fd;
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        close(fd);
    }
}

static bool receive_record(struct guest *guest) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&guest->last, sizeof(guest->last)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};

    if (recvmsg(guest->presenter, &message, MSG_DONTWAIT) <= 0)
        return false;
    close_attached(&message);
    return true;
}

/* Some are given back, some kept for good. */
static void present(struct guest *guest, struct input *input) {
    struct present_record record;
    uint8_t choice = input_u8(input);

    while (choice & 1 && receive_record(guest)) {
        record = guest->last;
        record.kind = record.kind == PRESENT_IMAGE ? PRESENT_RELEASED : PRESENT_CONSUMED;
        record.position += (uint64_t)record.width * record.height * 4;
        if (choice & 2)
            send_record(guest, &record);
    }
    if (choice & 4) {
        input_copy(input, &record, sizeof(record));
        record.kind &= 7;
        send_record(guest, &record);
    }
    if (choice & 8)
        device_repaint(guest->device);
    if ((choice & 0x70) == 0x10)
        machine_lose_region(guest->machine, UINT64_MAX);
    if ((choice & 0x70) == 0x30)
        machine_lose_region(guest->machine, FAR_AT);
    if ((choice & 0x70) == 0x40)
        machine_lose_region(guest->machine, 0);
    if ((choice & 0x70) == 0x20)
        device_reset(guest->device);
}

/* --- a run */

static void step(struct guest *guest, struct input *input) {
    const struct itimerspec soon = {.it_value.tv_nsec = RUN_NANOSECONDS};
    struct device_exit exit = {0};
    uint32_t length = write_request(guest, input);
    uint8_t cut = input_u8(input);

    if (cut & 1) /* a hostile one */
        input_copy(input, guest->machine->bytes + DESCRIPTOR_AT + input_u8(input), 16);
    if (packed(guest))
        offer_packed(guest, length - cut / 8, input_u8(input));
    else
        offer_split(guest, length - cut / 8, input_u8(input));
    do {
        timerfd_settime(guest->timer, 0, &soon, NULL);
        device_run(guest->device, &exit);
        if (exit.reason == EXIT_COMMAND)
            answer(guest, input, &exit);
    } while (exit.reason == EXIT_COMMAND);
    present(guest, input);
}

static struct device *make_device(struct guest *guest, struct input *input) {
    const struct device_limits limits = {.image_bytes = 16 << 20,
                                         .blob_bytes = 16 << 20,
                                         .request_bytes = 4096,
                                         .resources = 6,
                                         .backing_entries = 16,
                                         .contexts = 3,
                                         .submit_bytes = 64};
    uint8_t mode = input_u8(input);
    int channel[2];
    struct device *device;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
        abort();
    guest->presenter = channel[0];
    device = device_new(guest->machine->memory, guest->machine->state, guest->timer, channel[1],
                        mode & 7, &limits, SCANOUTS);
    close(channel[1]);
    guest->library = mode & 8 ? null_library_open() : NULL;
    if (device == NULL ||
        (guest->library != NULL && device_set_library(device, guest->library) < 0))
        abort();
    return device;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static int timer = -1;
    struct input input = {.bytes = bytes, .left = size};
    struct guest guest = {.machine = machine_get(), .wrap = true};
    uint32_t base;

    if (timer < 0)
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    machine_clear(guest.machine);
    guest.timer = timer;
    guest.config = machine_queue(&input);
    guest.device = make_device(&guest, &input);
    base = packed(&guest) ? 0x80008000 : 0;
    if (device_queue_start(guest.device, &guest.config, base, -1, -1, -1, 0) == 0) {
        device_queue_set_enabled(guest.device, 1);
        for (int i = 0; i < STEPS && input.left > 0; i++)
            step(&guest, &input);
        device_queue_stop(guest.device, &base);
    }
    device_free(guest.device);
    if (guest.library != NULL)
        gpu_library_close(guest.library);
    close(guest.presenter);
    return 0;
}
