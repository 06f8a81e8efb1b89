/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* fallocate, madvise */
#include "device/canvas.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/sealed.h"

enum { HUGE_PAGE = 2 << 20 };

uint8_t *canvas_pixels(const struct canvas *canvas, int slot) {
    return canvas->mapped + image_slot_offset(canvas->width, canvas->height, (uint32_t)slot);
}

static struct image_header *header(struct canvas *canvas) {
    return (void *)canvas->mapped;
}

/* Asks for huge pages where the host allows them for shared memory, but not for small images, which
 * would take far more than they count. */
static void advise(void *mapped, uint32_t width, uint32_t height) {
    bool large = image_slot_bytes(width, height) >= HUGE_PAGE;

    madvise(mapped, image_file_bytes(width, height), large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

/* Takes `fd` over, whether it works or not. */
static struct canvas *open_canvas(uint32_t image_id, uint32_t width, uint32_t height, int fd) {
    struct canvas *canvas = calloc(1, sizeof(*canvas));
    uint64_t size = image_file_bytes(width, height);
    void *mapped = MAP_FAILED;

    if (canvas != NULL)
        mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        free(canvas);
        close(fd);
        errno = ENOMEM;
        return NULL;
    }
    advise(mapped, width, height);
    *canvas = (struct canvas){.image_id = image_id,
                              .width = width,
                              .height = height,
                              .fd = fd,
                              .mapped = mapped,
                              .waiting = CANVAS_NONE};
    for (int slot = 0; slot < IMAGE_SLOTS; slot++)
        canvas->slots[slot].stale = canvas_whole(canvas);
    return canvas;
}

static void make_newest(struct canvas *canvas, int slot) {
    canvas->slot = slot;
    canvas->slots[slot].stale = (struct rectangle){0};
    __atomic_store_n(&header(canvas)->slot, (uint32_t)slot, __ATOMIC_RELEASE);
}

struct canvas *canvas_new(uint32_t image_id, uint32_t width, uint32_t height) {
    int fd = sealed_memory_create("vgpud-image", image_file_bytes(width, height));
    struct canvas *canvas;

    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    canvas = open_canvas(image_id, width, height, fd);
    if (canvas != NULL)
        make_newest(canvas, 0);
    return canvas;
}

struct canvas *canvas_adopt(uint32_t image_id, uint32_t width, uint32_t height, int fd) {
    struct canvas *canvas;
    int copy;

    if (sealed_memory_check(fd, image_file_bytes(width, height)) < 0) {
        errno = EINVAL;
        return NULL;
    }
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return NULL;
    canvas = open_canvas(image_id, width, height, copy);
    if (canvas == NULL)
        return NULL;
    make_newest(canvas, (int)(header(canvas)->slot % IMAGE_SLOTS));
    canvas->spread = true;
    return canvas;
}

void canvas_free(struct canvas *canvas) {
    if (canvas == NULL)
        return;
    munmap(canvas->mapped, image_file_bytes(canvas->width, canvas->height));
    close(canvas->fd);
    free(canvas);
}

static bool slot_held(const struct canvas *canvas, int slot) {
    return canvas->slots[slot].pins > 0 || canvas->waiting == slot;
}

static uint64_t area(const struct rectangle *rectangle) {
    return (uint64_t)rectangle->width * rectangle->height;
}

/* How much has to be copied into a slot before `written` is written there. */
static uint64_t missing(const struct canvas *canvas, int slot, const struct rectangle *written) {
    const struct rectangle *stale = &canvas->slots[slot].stale;

    return rectangle_covers(written, stale) ? 0 : area(stale);
}

/*
 * The free slot that lacks least; CANVAS_NONE when all are held, which canvas_may_pin() prevents.
 */
static int free_slot(const struct canvas *canvas, const struct rectangle *written) {
    int best = CANVAS_NONE;

    for (int slot = 0; slot < IMAGE_SLOTS; slot++) {
        if (slot == canvas->slot || slot_held(canvas, slot))
            continue;
        if (best == CANVAS_NONE || missing(canvas, slot, written) < missing(canvas, best, written))
            best = slot;
    }
    return best;
}

static void copy_rectangle(struct canvas *canvas, int to, int from,
                           const struct rectangle *rectangle) {
    uint64_t stride = canvas_stride(canvas);
    uint64_t offset = rectangle->y * stride + (uint64_t)rectangle->x * IMAGE_PIXEL_BYTES;
    uint64_t row = (uint64_t)rectangle->width * IMAGE_PIXEL_BYTES;
    uint8_t *target = canvas_pixels(canvas, to) + offset;
    const uint8_t *source = canvas_pixels(canvas, from) + offset;

    if (row == stride) {
        memcpy(target, source, row * rectangle->height);
        return;
    }
    for (uint32_t y = 0; y < rectangle->height; y++, target += stride, source += stride)
        memcpy(target, source, row);
}

static void move(struct canvas *canvas, const struct rectangle *written) {
    int slot = free_slot(canvas, written);

    if (slot == CANVAS_NONE)
        return;
    if (missing(canvas, slot, written) > 0)
        copy_rectangle(canvas, slot, canvas->slot, &canvas->slots[slot].stale);
    canvas->spread = true;
    make_newest(canvas, slot);
}

void canvas_begin_write(struct canvas *canvas, const struct rectangle *rectangle) {
    if (canvas_held(canvas))
        move(canvas, rectangle);
    for (int slot = 0; slot < IMAGE_SLOTS; slot++)
        if (slot != canvas->slot)
            canvas->slots[slot].stale = rectangle_around(&canvas->slots[slot].stale, rectangle);
}

bool canvas_may_pin(const struct canvas *canvas, int slot) {
    int pinned = 0;

    if (canvas->slots[slot].pins > 0)
        return true;
    for (int other = 0; other < IMAGE_SLOTS; other++)
        pinned += canvas->slots[other].pins > 0;
    return pinned < CANVAS_PINNED_MAX;
}

bool canvas_pinned(const struct canvas *canvas) {
    for (int slot = 0; slot < IMAGE_SLOTS; slot++)
        if (canvas->slots[slot].pins > 0)
            return true;
    return false;
}

static void punch(struct canvas *canvas, int slot) {
    uint64_t offset = image_slot_offset(canvas->width, canvas->height, (uint32_t)slot);

    fallocate(canvas->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
              (off_t)canvas_slot_bytes(canvas));
}

void canvas_release_spare(struct canvas *canvas) {
    for (int slot = 0; slot < IMAGE_SLOTS; slot++) {
        if (slot == canvas->slot)
            continue;
        canvas->slots[slot].stale = canvas_whole(canvas);
        punch(canvas, slot);
    }
    canvas->spread = false;
}

void canvas_release_all(struct canvas *canvas) {
    canvas_release_spare(canvas);
    punch(canvas, canvas->slot);
}
