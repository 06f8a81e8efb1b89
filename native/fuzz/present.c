/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Fuzzes the presenter with records of a device process: any fields, any descriptors.  A thread
 * plays QEMU and aborts at what would crash or confuse it: an UPDATE before its SCANOUT or outside
 * it, a width without a height, a length that is not the rectangle's.  Another is a viewer, and
 * aborts at what its process would not accept.
 *
 * Input: pieces of 65 bytes, a record and how it is sent (see play()).  The first byte's
 * lowest bit: the staging ring has come before.
 */
#define _GNU_SOURCE /* memfd_create(), seals */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "presenter/display_message.h"
#include "presenter/presenter.h"
#include "shared/image.h"
#include "shared/present.h"
#include "shared/rectangle.h"
#include "shared/view.h"

enum { PIECE = sizeof(struct present_record) + 1, WIDTH = 64, HEIGHT = 48, DRAIN = 1 << 16 };

static struct presenter *presenter;
static int image_fd, staging_fd, unsealed_fd;

static void require(bool holds) {
    if (!holds)
        abort();
}

/* ---- QEMU ---- */

struct shown {
    uint32_t width, height;
    bool buffer; /* a DMA buffer, of that size */
};

static bool read_all(int fd, void *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t got = recv(fd, (uint8_t *)to + done, length - done, 0);
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* The display may be taken away in the middle of a message. */
static void read_body(int fd, void *to, size_t length) {
    if (!read_all(fd, to, length))
        pthread_exit(NULL);
}

static void read_pixels(int fd, uint64_t length) {
    static uint8_t pixels[DRAIN];

    for (; length > 0; length -= length < DRAIN ? length : DRAIN)
        read_body(fd, pixels, length < DRAIN ? length : DRAIN);
}

static void take_scanout(int fd, struct shown *scanouts) {
    uint32_t body[3];

    read_body(fd, body, sizeof(body));
    require(body[0] < DISPLAY_SCANOUTS);
    require((body[1] == 0) == (body[2] == 0));
    scanouts[body[0]] = (struct shown){.width = body[1], .height = body[2]};
}

static void take_update(int fd, uint32_t size, const struct shown *scanouts) {
    uint32_t body[5];

    read_body(fd, body, sizeof(body));
    require(body[0] < DISPLAY_SCANOUTS);
    require(body[3] > 0 && body[4] > 0 && scanouts[body[0]].width > 0);
    require(!scanouts[body[0]].buffer);
    require((uint64_t)body[1] + body[3] <= scanouts[body[0]].width);
    require((uint64_t)body[2] + body[4] <= scanouts[body[0]].height);
    require(size == sizeof(body) + (uint64_t)body[3] * body[4] * 4);
    read_pixels(fd, size - sizeof(body));
}

static void take_dmabuf_scanout(int fd, uint32_t size, struct shown *scanouts) {
    uint32_t body[10];

    require(size == sizeof(body));
    read_body(fd, body, sizeof(body));
    require(body[0] < DISPLAY_SCANOUTS && body[1] == 0 && body[2] == 0);
    require((body[3] == 0) == (body[4] == 0) && (body[3] == 0) == (body[7] == 0));
    scanouts[body[0]] = (struct shown){.width = body[3], .height = body[4], .buffer = body[3] > 0};
}

static void take_dmabuf_update(int fd, uint32_t size, const struct shown *scanouts) {
    uint32_t body[5];

    require(size == sizeof(body));
    read_body(fd, body, sizeof(body));
    require(body[0] < DISPLAY_SCANOUTS && scanouts[body[0]].buffer);
    require(body[3] > 0 && (uint64_t)body[1] + body[3] <= scanouts[body[0]].width);
    require(body[4] > 0 && (uint64_t)body[2] + body[4] <= scanouts[body[0]].height);
}

static void *qemu(void *argument) {
    int fd = *(int *)argument;
    struct shown scanouts[DISPLAY_SCANOUTS] = {0};
    struct display_header header;

    while (read_all(fd, &header, sizeof(header))) {
        require(header.flags == 0);
        if (header.request == DISPLAY_SCANOUT)
            take_scanout(fd, scanouts);
        else if (header.request == DISPLAY_UPDATE)
            take_update(fd, header.size, scanouts);
        else if (header.request == DISPLAY_DMABUF_SCANOUT)
            take_dmabuf_scanout(fd, header.size, scanouts);
        else if (header.request == DISPLAY_DMABUF_UPDATE)
            take_dmabuf_update(fd, header.size, scanouts);
        else
            abort();
    }
    return NULL;
}

/* ---- a viewer ---- */

enum { PANORAMA_MAX = 1 << 24 };

/* The size of the panorama that came with a record; the previous one no longer matters. */
static struct rectangle take_panorama(const struct view_record *record, int fd) {
    struct stat file;

    require(fd >= 0 && fstat(fd, &file) == 0);
    require(record->width > 0 && record->height > 0);
    require((uint64_t)file.st_size == view_panorama_bytes(record->width, record->height));
    require(view_pixel_bytes(record->width, record->height) <= PANORAMA_MAX);
    /* Nobody else writes it. */
    require(mmap(NULL, (size_t)file.st_size, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    return (struct rectangle){.width = record->width, .height = record->height};
}

static void *viewer(void *argument) {
    int channel = *(int *)argument, fd;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct rectangle panorama = {0};
    struct view_record record;

    for (;;) {
        struct iovec part = {&record, sizeof(record)};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        struct rectangle damage;
        if (recvmsg(channel, &message, 0) <= 0)
            return NULL;
        fd = -1;
        if (CMSG_FIRSTHDR(&message) != NULL)
            memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        damage = (struct rectangle){record.x, record.y, record.width, record.height};
        if (record.kind == VIEW_PANORAMA)
            panorama = take_panorama(&record, fd);
        else if (record.kind == VIEW_DAMAGE)
            require(rectangle_within(&damage, panorama.width, panorama.height));
        else
            require(record.kind == VIEW_CURSOR || record.kind == VIEW_CURSOR_AT);
        if (fd >= 0)
            close(fd);
    }
}

/* ---- the device process ---- */

static int memory(size_t size, int seals) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    require(fd >= 0 && ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static void send_record(int channel, const struct present_record *records, size_t length,
                        const int *fds, size_t count) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {(void *)(uintptr_t)records, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    }
    (void)!sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

struct device {
    int channel;
    bool staging; /* has been sent */
    bool known[3];
    uint64_t position;
    struct present_record packet[PRESENT_PACKET];
    size_t waiting; /* records in it */
};

static void send_packet(struct device *device) {
    if (device->waiting > 0)
        send_record(device->channel, device->packet, device->waiting * sizeof(device->packet[0]),
                    NULL, 0);
    device->waiting = 0;
}

static void add_to_packet(struct device *device, const struct present_record *record) {
    device->packet[device->waiting++] = *record;
    if (device->waiting == PRESENT_PACKET)
        send_packet(device);
}

enum { IMAGES = 3, ROOM = 16 * 1024 };

/* What a device process that keeps the rules would send, so that much of it is drawn. */
static int shape(struct device *device, struct present_record *record) {
    static const uint32_t kinds[] = {PRESENT_SCANOUT, PRESENT_STAGED, PRESENT_IMAGE,
                                     PRESENT_FORGET,  PRESENT_BUFFER, PRESENT_DAMAGE};
    int fd = -1;

    record->kind = kinds[record->kind % 6];
    if (record->kind == PRESENT_STAGED && !device->staging)
        record->kind = PRESENT_IMAGE;
    record->scanout_id %= DISPLAY_SCANOUTS;
    record->scanout_width = 1 + record->scanout_width % 300;
    record->scanout_height = 1 + record->scanout_height % 300;
    record->x %= 400;
    record->y %= 400;
    record->width = 1 + record->width % 64;
    record->height = 1 + record->height % 64;
    record->image_id %= IMAGES;
    record->slot %= IMAGE_SLOTS;
    record->source_x %= WIDTH + 8;
    record->source_y %= HEIGHT + 8;
    record->image_width = WIDTH;
    record->image_height = HEIGHT;
    record->position = device->position;
    if (record->kind == PRESENT_STAGED)
        device->position += ROOM;
    if (record->kind == PRESENT_IMAGE && !device->known[record->image_id])
        fd = image_fd;
    if (record->kind == PRESENT_IMAGE || record->kind == PRESENT_FORGET)
        device->known[record->image_id] = record->kind == PRESENT_IMAGE;
    if (record->kind == PRESENT_BUFFER) { /* of the size that the scanout has */
        record->x = 1 + record->x;        /* a stride */
        fd = unsealed_fd;
    }
    return fd;
}

enum { DESCRIPTOR = 7, SHORT = 8, TOGETHER = 16, RAW = 0xe0 };

/*
 * One in eight is of any values at all, with the descriptors that the low bits choose, and perhaps
 * too short.  Of the others some go together in a packet.
 */
static void play(struct device *device, struct present_record *record, uint8_t how) {
    int fds[][2] = {{-1}, {image_fd}, {staging_fd}, {unsealed_fd}, {image_fd, staging_fd}};
    size_t counts[] = {0, 1, 1, 1, 2};
    unsigned which = (how & DESCRIPTOR) % 5;

    if ((how & RAW) != RAW) {
        int fd = shape(device, record);
        if ((how & TOGETHER) && fd < 0) {
            add_to_packet(device, record);
            return;
        }
        send_packet(device);
        send_record(device->channel, record, sizeof(*record), &fd, fd >= 0);
        return;
    }
    send_packet(device);
    if (record->scanout_width <= IMAGE_SIDE_MAX)
        record->scanout_width %= 2048; /* otherwise QEMU's part takes too long */
    send_record(device->channel, record, how & SHORT ? 60 : sizeof(*record), fds[which],
                counts[which]);
}

static void send_staging(struct device *device) {
    struct present_record record = {.kind = PRESENT_STAGING};

    send_record(device->channel, &record, sizeof(record), &staging_fd, 1);
    device->staging = true;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    signal(SIGPIPE, SIG_IGN);
    presenter = presenter_new();
    image_fd = memory(image_file_bytes(WIDTH, HEIGHT), F_SEAL_SHRINK | F_SEAL_GROW);
    staging_fd = memory(PRESENT_STAGING_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
    unsealed_fd = memory(PRESENT_STAGING_BYTES, 0);
    require(presenter != NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int channel[2], display[2], view[2];
    struct device device = {.position = 0};
    pthread_t reader, looker;
    int reason;

    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0);
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, display) == 0);
    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, view) == 0);
    device.channel = channel[0];
    if (size > 0 && data[0] & 1)
        send_staging(&device);
    for (; size >= PIECE; data += PIECE, size -= PIECE) {
        struct present_record record;
        memcpy(&record, data, sizeof(record));
        play(&device, &record, data[sizeof(record)]);
    }
    send_packet(&device);
    close(channel[0]);
    require(presenter_set_source(presenter, channel[1]) == 0);
    require(presenter_set_display(presenter, display[1]) == 0);
    require(presenter_add_viewer(presenter, view[1], PANORAMA_MAX) == 0);
    close(channel[1]);
    close(display[1]);
    close(view[1]);
    pthread_create(&reader, NULL, qemu, &display[0]);
    pthread_create(&looker, NULL, viewer, &view[0]);
    reason = presenter_run(presenter);
    require(reason == PRESENTER_SOURCE_CLOSED || reason == PRESENTER_SOURCE_BROKEN);
    /* Closes it, after what is on its way. */
    require(presenter_set_display(presenter, -1) == 0);
    presenter_stop(presenter);
    require(presenter_run(presenter) == PRESENTER_STOPPED);
    pthread_join(reader, NULL);
    close(display[0]);
    shutdown(view[0], SHUT_RDWR);
    pthread_join(looker, NULL);
    close(view[0]);
    return 0;
}
