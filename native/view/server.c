/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "view/server.h"

#include <errno.h>
#include <poll.h>
#include <rfb/rfb.h>
#include <rfb/rfbregion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shared/image.h"
#include "shared/rectangle.h"
#include "shared/sealed.h"
#include "view/channel.h"
#include "view/cursor.h"

enum { PIXEL_BITS = 8, PIXEL_SAMPLES = 3, SIDE_MAX = 65535 };
/* The size before there is a picture. */
enum { FIRST_WIDTH = 640, FIRST_HEIGHT = 480 };
/* A viewer is dropped that takes nothing for STALLED_MS in the middle of an update, or that has not
 * asked for a picture within GREETING_MS. */
enum { STALLED_MS = 20000, GREETING_MS = 10000 };
/* Changes are passed to the library rectangle by rectangle; if there are more, as one. */
enum { MARKED_MAX = 50 };

struct server {
    int channel;
    int connection; /* -1: it has not come yet */
    bool listens;   /* to keys and pointer */
    rfbScreenInfoPtr screen;
    rfbClientPtr client;
    bool gone;

    const uint8_t *panorama; /* mapped, NULL: none yet */
    uint32_t width, height;
    char *pixels;            /* what the library reads, and draws the cursor into */
    struct rectangle damage; /* not copied yet */
    unsigned marked;         /* rectangles of it */
    struct guest_cursor cursor;
    int64_t deadline_ms; /* of the greeting */
};

/* ---- the picture ---- */

static uint64_t pixel_bytes(const struct server *server) {
    return view_pixel_bytes(server->width, server->height);
}

static void drop_panorama(struct server *server) {
    if (server->panorama != NULL)
        munmap((void *)(uintptr_t)server->panorama,
               view_panorama_bytes(server->width, server->height));
    server->panorama = NULL;
}

/* B, G, R in memory, whatever the order of bytes here, with the depth of 24 that most viewers ask
 * for: with the library's own depth of 32 it would convert each pixel. */
static void set_format(struct server *server) {
    rfbPixelFormat *format = &server->screen->serverFormat;

    format->depth = PIXEL_BITS * PIXEL_SAMPLES;
    format->redShift = format->bigEndian ? 8 : 16;
    format->greenShift = format->bigEndian ? 16 : 8;
    format->blueShift = format->bigEndian ? 24 : 0;
    if (server->client != NULL)
        server->screen->setTranslateFunction(server->client);
}

/* The library then forgets the format. */
static void use_pixels(struct server *server, char *pixels) {
    rfbNewFramebuffer(server->screen, pixels, (int)server->width, (int)server->height, PIXEL_BITS,
                      PIXEL_SAMPLES, IMAGE_PIXEL_BYTES);
    set_format(server);
    free(server->pixels);
    server->pixels = pixels;
}

static int use_panorama(struct server *server, uint32_t width, uint32_t height, int fd) {
    uint64_t bytes = view_panorama_bytes(width, height);
    const uint8_t *panorama;
    char *pixels;

    if (width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX || fd < 0 ||
        sealed_memory_check(fd, bytes) < 0)
        return -EPROTO;
    panorama = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (panorama == MAP_FAILED)
        return -ENOMEM;
    pixels = calloc(1, view_pixel_bytes(width, height));
    if (pixels == NULL) {
        munmap((void *)(uintptr_t)panorama, bytes);
        return -ENOMEM;
    }
    drop_panorama(server);
    server->panorama = panorama;
    server->width = width;
    server->height = height;
    use_pixels(server, pixels);
    server->damage = (struct rectangle){.width = width, .height = height};
    return 0;
}

/* Copied, and not read where the session draws: an encoder that reads a pixel twice must get the
 * same. */
static void bring_up_to_date(struct server *server) {
    struct rectangle damage = server->damage;
    size_t stride = image_stride(server->width), row = image_stride(damage.width);
    size_t from = damage.y * stride + image_stride(damage.x);

    if (server->panorama == NULL || rectangle_empty(&damage))
        return;
    server->damage = (struct rectangle){0};
    server->marked = 0;
    for (uint32_t y = 0; y < damage.height; y++, from += stride)
        memcpy(server->pixels + from, server->panorama + from, row);
}

/* ---- what the session sends ---- */

static void mark(struct server *server, const struct rectangle *damage) {
    rfbMarkRectAsModified(server->screen, (int)damage->x, (int)damage->y,
                          (int)(damage->x + damage->width), (int)(damage->y + damage->height));
}

static int take_damage(struct server *server, const struct view_record *record) {
    const struct rectangle damage = {record->x, record->y, record->width, record->height};

    if (!rectangle_within(&damage, server->width, server->height))
        return -EPROTO;
    server->damage = rectangle_around(&server->damage, &damage);
    mark(server, server->marked++ < MARKED_MAX ? &damage : &server->damage);
    return 0;
}

static int take_connection(struct server *server, const struct view_record *record, int fd) {
    if (fd < 0 || server->connection >= 0)
        return -EPROTO;
    server->connection = dup(fd);
    server->listens = record->value != 0;
    return server->connection < 0 ? -ENOMEM : 0;
}

static int take_cursor(struct server *server, const struct view_record *record) {
    if (server->panorama == NULL)
        return -EPROTO;
    return guest_cursor_define(&server->cursor, server->screen, record,
                               server->panorama + pixel_bytes(server));
}

static int take_message(struct server *server, const struct view_message *message) {
    const struct view_record *record = &message->record;

    switch (record->kind) {
    case VIEW_CONNECTION:
        return take_connection(server, record, message->fd);
    case VIEW_PANORAMA:
        return use_panorama(server, record->width, record->height, message->fd);
    case VIEW_DAMAGE:
        return take_damage(server, record);
    case VIEW_CURSOR:
        return take_cursor(server, record);
    case VIEW_CURSOR_AT:
        return guest_cursor_move(&server->cursor, server->screen, record);
    default:
        return -EPROTO;
    }
}

/* Handles what has come; 0, or why this is the end. */
static int listen_to_session(struct server *server) {
    struct view_message message;
    int result;

    while ((result = view_channel_receive(server->channel, &message)) > 0) {
        result = take_message(server, &message);
        if (message.fd >= 0)
            close(message.fd);
        if (result < 0)
            return result;
    }
    return result;
}

/* ---- what the viewer sends ---- */

static struct server *server_of(rfbClientPtr client) {
    return client->screen->screenData;
}

static void press(rfbBool down, rfbKeySym keysym, rfbClientPtr client) {
    struct server *server = server_of(client);
    const struct view_record record = {.kind = VIEW_KEY, .value = (uint32_t)keysym, .x = down != 0};

    if (server->listens)
        view_channel_send(server->channel, &record);
}

static uint32_t across(int place, uint32_t length) {
    uint32_t last = length > 1 ? length - 1 : 1;
    uint32_t inside = place < 0 ? 0 : (uint32_t)place;

    return (uint32_t)((uint64_t)smaller_u32(inside, last) * VIEW_POINTER_MAX / last);
}

static void point(int buttons, int x, int y, rfbClientPtr client) {
    struct server *server = server_of(client);
    const struct view_record record = {.kind = VIEW_POINTER,
                                       .value = (uint32_t)buttons,
                                       .x = across(x, (uint32_t)client->screen->width),
                                       .y = across(y, (uint32_t)client->screen->height)};

    if (server->listens)
        view_channel_send(server->channel, &record);
}

static void note_end(rfbClientPtr client) {
    server_of(client)->gone = true;
}

/* ---- the library ---- */

static void say_nothing(const char *format, ...) {
    (void)format;
}

static rfbScreenInfoPtr make_screen(struct server *server) {
    rfbScreenInfoPtr screen = rfbGetScreen(NULL, NULL, (int)server->width, (int)server->height,
                                           PIXEL_BITS, PIXEL_SAMPLES, IMAGE_PIXEL_BYTES);

    if (screen == NULL)
        return NULL;
    screen->screenData = server;
    screen->frameBuffer = server->pixels;
    screen->alwaysShared = TRUE;
    screen->deferUpdateTime = 0;
    screen->maxClientWait = STALLED_MS;
    screen->kbdAddEvent = press;
    screen->ptrAddEvent = point;
    screen->permitFileTransfer = FALSE;
    return guest_cursor_begin(screen) == 0 ? screen : NULL;
}

/*
 * A web page may connect to any port of the browser's computer, and would be let in.  To use a
 * browser all the same, put a program between (docs/viewer.md).
 */
static bool by_browser(const rfbClientRec *client) {
#ifdef LIBVNCSERVER_WITH_WEBSOCKETS
    return client->wsctx != NULL || client->sslctx != NULL;
#else
    (void)client;
    return false;
#endif
}

static enum rfbNewClientAction look_at_client(rfbClientPtr client) {
    client->clientGoneHook = note_end;
    client->viewOnly = FALSE;
    return by_browser(client) ? RFB_CLIENT_REFUSE : RFB_CLIENT_ACCEPT;
}

static int64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int start(struct server *server) {
    server->screen->newClientHook = look_at_client;
    server->screen->desktopName = server->listens ? "vgpud" : "vgpud (view only)";
    server->client = rfbNewClient(server->screen, server->connection);
    server->deadline_ms = now_ms() + GREETING_MS;
    return server->client != NULL && !server->gone ? 0 : -EPIPE;
}

/* The time left before a viewer is dropped that has not asked for a picture; -1: it has. */
static int greeting_ms(const struct server *server) {
    int64_t left = server->deadline_ms - now_ms();

    if (server->client == NULL || server->client->state == RFB_NORMAL)
        return -1;
    return left > 0 ? (int)left : 0;
}

static bool wants_update(const rfbClientRec *client) {
    return client->requestedRegion != NULL && !sraRgnEmpty(client->requestedRegion);
}

static void serve_client(struct server *server, bool readable) {
    if (readable)
        rfbProcessClientMessage(server->client);
    if (!server->gone && server->client->sock == RFB_INVALID_SOCKET)
        rfbClientConnectionGone(server->client);
    if (server->gone)
        return;
    if (wants_update(server->client)) {
        bring_up_to_date(server);
        rfbUpdateClient(server->client);
    }
    if (!server->gone && server->client->sock == RFB_INVALID_SOCKET)
        rfbClientConnectionGone(server->client);
}

/* Waits for the session and for the viewer. */
static int serve(struct server *server) {
    struct pollfd polled[] = {{.fd = server->channel, .events = POLLIN},
                              {.fd = server->connection, .events = POLLIN}};
    int patience = greeting_ms(server), error;

    if (patience == 0)
        return -EPIPE;
    if (poll(polled, server->client != NULL ? 2 : 1, patience) < 0)
        return errno == EINTR ? 0 : -errno;
    error = polled[0].revents != 0 ? listen_to_session(server) : 0;
    if (error < 0)
        return error;
    if (server->client == NULL)
        return server->connection >= 0 ? start(server) : 0;
    serve_client(server, polled[1].revents != 0);
    return 0;
}

static int prepare(struct server *server) {
    server->pixels = calloc(1, pixel_bytes(server));
    if (server->pixels == NULL)
        return -ENOMEM;
    server->screen = make_screen(server);
    if (server->screen == NULL)
        return -ENOMEM;
    set_format(server);
    return 0;
}

int view_serve(int channel) {
    struct server server = {
        .channel = channel, .connection = -1, .width = FIRST_WIDTH, .height = FIRST_HEIGHT};
    int error;

    rfbLog = rfbErr = say_nothing;
    error = prepare(&server);
    while (error == 0 && !server.gone)
        error = serve(&server);
    /* The process ends now: the kernel gives back what it holds. */
    return error == -EPIPE ? 0 : error;
}
