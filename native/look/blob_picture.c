/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "look/blob_picture.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/backing.h"
#include "ring/fault.h"
#include "shared/image.h"
#include "shared/layout.h"
#include "shared/rectangle.h"
#include "shared/sealed.h"

struct copy {
    struct layout layout;
    struct rectangle shown;
    struct backing *backing;
    uint8_t *pixels;
};

static bool may_be_shown(const struct copy *copy, uint64_t blob_bytes) {
    return layout_fits(&copy->layout, blob_bytes) && !rectangle_empty(&copy->shown) &&
           rectangle_within(&copy->shown, copy->layout.width, copy->layout.height);
}

static void copy_rows(void *argument) {
    const struct copy *copy = argument;
    format_convert convert = format_converter(copy->layout.format);

    for (uint32_t y = 0; y < copy->shown.height; y++)
        backing_read(
            copy->backing, layout_position(&copy->layout, copy->shown.x, copy->shown.y + y),
            copy->pixels + y * image_stride(copy->shown.width), copy->shown.width, convert);
}

/* The descriptor of an image in whose first slot the pixels are. */
static int make_image(struct copy *copy) {
    uint64_t size = image_file_bytes(copy->shown.width, copy->shown.height);
    int fd = sealed_memory_create("vgpud-picture", size);
    uint8_t *mapped;
    bool whole;

    if (fd < 0)
        return fd;
    mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        close(fd);
        return -ENOMEM;
    }
    copy->pixels = mapped + image_slot_offset(copy->shown.width, copy->shown.height, 0);
    whole = fault_guarded(copy_rows, copy);
    munmap(mapped, size);
    if (whole)
        return fd;
    close(fd);
    return -EFAULT;
}

int blob_picture_new(struct guest_memory *memory, const uint8_t *entries, uint32_t nr_entries,
                     uint64_t blob_bytes, const struct surface_state *shown, uint64_t most) {
    struct copy copy = {
        .layout = {.format = shown->format,
                   .width = shown->surface_width,
                   .height = shown->surface_height,
                   .stride = shown->stride,
                   .offset = shown->offset},
        .shown = {.x = shown->x, .y = shown->y, .width = shown->width, .height = shown->height}};
    int result = -EFAULT;

    if (!may_be_shown(&copy, blob_bytes) ||
        image_slot_bytes(copy.shown.width, copy.shown.height) > most)
        return -EINVAL;
    copy.backing = backing_new(memory, entries, nr_entries);
    if (copy.backing == NULL)
        return -errno;
    if (backing_bytes(copy.backing) >= blob_bytes)
        result = make_image(&copy);
    backing_free(copy.backing);
    return result;
}
