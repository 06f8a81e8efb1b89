/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/backing.h"

#include <errno.h>
#include <linux/virtio_gpu.h>
#include <stdlib.h>
#include <string.h>

enum { PIXEL_BYTES = 4 };

struct range {
    uint64_t guest_address, length;
};

struct span {
    uint8_t *bytes;
    uint64_t start, end; /* offsets into the backing */
};

struct backing {
    uint32_t nr_entries;
    uint64_t bytes;
    struct range *ranges; /* neighbouring entries are one */
    uint32_t range_count;
    struct span *spans; /* a range across the border of two regions is two */
    uint32_t span_count, span_room;
    uint32_t last; /* where the last look-up ended */
};

/* --- from the guest's entries */

/* Whether the entry begins where the last range ended. */
static bool continues(const struct backing *backing, const struct virtio_gpu_mem_entry *entry) {
    const struct range *last;

    if (backing->range_count == 0)
        return false;
    last = &backing->ranges[backing->range_count - 1];
    return last->guest_address + last->length == entry->addr;
}

static void append_range(struct backing *backing, const struct virtio_gpu_mem_entry *entry) {
    backing->bytes += entry->length;
    if (continues(backing, entry))
        backing->ranges[backing->range_count - 1].length += entry->length;
    else
        backing->ranges[backing->range_count++] =
            (struct range){.guest_address = entry->addr, .length = entry->length};
}

static void read_entries(struct backing *backing, const uint8_t *entries) {
    for (uint32_t i = 0; i < backing->nr_entries; i++) {
        struct virtio_gpu_mem_entry entry;
        memcpy(&entry, entries + (size_t)i * sizeof(entry), sizeof(entry));
        if (entry.length > 0)
            append_range(backing, &entry);
    }
}

static void shrink_ranges(struct backing *backing) {
    size_t bytes = (backing->range_count + 1) * sizeof(struct range);
    struct range *fitting = realloc(backing->ranges, bytes);

    if (fitting != NULL)
        backing->ranges = fitting;
}

struct backing *backing_new(struct guest_memory *memory, const uint8_t *entries,
                            uint32_t nr_entries) {
    struct backing *backing = calloc(1, sizeof(*backing));

    if (backing == NULL)
        return NULL;
    backing->nr_entries = nr_entries;
    backing->ranges = malloc(((size_t)nr_entries + 1) * sizeof(struct range));
    if (backing->ranges == NULL) {
        backing_free(backing);
        errno = ENOMEM;
        return NULL;
    }
    read_entries(backing, entries);
    shrink_ranges(backing);
    if (!backing_translate(backing, memory)) {
        int error = errno;
        backing_free(backing);
        errno = error;
        return NULL;
    }
    return backing;
}

void backing_free(struct backing *backing) {
    if (backing == NULL)
        return;
    free(backing->ranges);
    free(backing->spans);
    free(backing);
}

/* --- into what is mapped here */

static bool make_room(struct backing *backing) {
    uint32_t room = backing->span_room ? 2 * backing->span_room : backing->range_count + 1;
    struct span *spans;

    if (backing->span_count < backing->span_room)
        return true;
    spans = realloc(backing->spans, room * sizeof(*spans));
    if (spans == NULL)
        return false;
    backing->spans = spans;
    backing->span_room = room;
    return true;
}

static bool translate_range(struct backing *backing, struct guest_memory *memory,
                            struct range range, uint64_t *offset) {
    while (range.length > 0) {
        uint64_t there = range.length;
        uint8_t *bytes = guest_memory_find(memory, range.guest_address, &there);
        if (bytes == NULL) {
            errno = EFAULT;
            return false;
        }
        if (!make_room(backing))
            return false;
        backing->spans[backing->span_count++] =
            (struct span){.bytes = bytes, .start = *offset, .end = *offset + there};
        range.guest_address += there;
        range.length -= there;
        *offset += there;
    }
    return true;
}

bool backing_translate(struct backing *backing, struct guest_memory *memory) {
    uint64_t offset = 0;

    backing->span_count = backing->last = 0;
    for (uint32_t i = 0; i < backing->range_count; i++)
        if (!translate_range(backing, memory, backing->ranges[i], &offset))
            return false;
    return true;
}

struct iovec *backing_iov(const struct backing *backing, uint32_t *count) {
    struct iovec *iov = malloc((backing->span_count + 1) * sizeof(*iov));

    *count = backing->span_count;
    for (uint32_t i = 0; iov != NULL && i < backing->span_count; i++) {
        const struct span *span = &backing->spans[i];
        iov[i] = (struct iovec){.iov_base = span->bytes, .iov_len = span->end - span->start};
    }
    return iov;
}

void backing_dirty(const struct backing *backing, struct guest_memory *memory) {
    for (uint32_t i = 0; i < backing->range_count; i++)
        guest_memory_dirty(memory, backing->ranges[i].guest_address, backing->ranges[i].length);
}

uint32_t backing_entries(const struct backing *backing) {
    return backing->nr_entries;
}

uint64_t backing_bytes(const struct backing *backing) {
    return backing->bytes;
}

/* --- reading */

static uint32_t search(const struct backing *backing, uint64_t offset) {
    uint32_t low = 0, high = backing->span_count - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (backing->spans[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Most look-ups are where the last one was, or right after it. */
static const struct span *find(struct backing *backing, uint64_t offset) {
    const struct span *span = &backing->spans[backing->last];

    if (offset >= span->start && offset < span->end)
        return span;
    if (backing->last + 1 < backing->span_count && offset == span->end)
        return &backing->spans[++backing->last];
    backing->last = search(backing, offset);
    return &backing->spans[backing->last];
}

/* A pixel whose bytes are in two or more spans. */
static void read_broken_pixel(struct backing *backing, uint64_t offset, uint8_t *to,
                              format_convert convert) {
    uint8_t pixel[PIXEL_BYTES];

    for (uint64_t i = 0; i < PIXEL_BYTES; i++) {
        const struct span *span = find(backing, offset + i);
        pixel[i] = span->bytes[offset + i - span->start];
    }
    convert(to, pixel, 1);
}

void backing_read(struct backing *backing, uint64_t offset, uint8_t *to, uint64_t count,
                  format_convert convert) {
    while (count > 0) {
        const struct span *span = find(backing, offset);
        uint64_t pixels = (span->end - offset) / PIXEL_BYTES;
        if (pixels > count)
            pixels = count;
        if (pixels > 0) {
            convert(to, span->bytes + (offset - span->start), pixels);
        } else {
            read_broken_pixel(backing, offset, to, convert);
            pixels = 1;
        }
        offset += pixels * PIXEL_BYTES;
        to += pixels * PIXEL_BYTES;
        count -= pixels;
    }
}
