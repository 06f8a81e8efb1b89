/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "presenter/pending.h"

void pending_pool_init(struct pending_pool *pool) {
    pool->free = (struct pending_list){NULL, NULL};
    pool->available = 0;
    for (unsigned i = 0; i < PENDING_COUNT; i++)
        pending_free(pool, &pool->entries[i]);
}

struct pending *pending_new(struct pending_pool *pool) {
    struct pending *entry = pool->free.first;

    if (entry == NULL)
        return NULL;
    pending_remove(&pool->free, entry);
    pool->available--;
    *entry = (struct pending){.file = NULL};
    return entry;
}

void pending_free(struct pending_pool *pool, struct pending *entry) {
    pixel_file_release(entry->file);
    entry->file = NULL;
    pending_prepend(&pool->free, entry); /* first, since it is still in the cache */
    pool->available++;
}

void pending_append(struct pending_list *list, struct pending *entry) {
    entry->next = NULL;
    entry->previous = list->last;
    if (list->last != NULL)
        list->last->next = entry;
    else
        list->first = entry;
    list->last = entry;
}

void pending_prepend(struct pending_list *list, struct pending *entry) {
    entry->previous = NULL;
    entry->next = list->first;
    if (list->first != NULL)
        list->first->previous = entry;
    else
        list->last = entry;
    list->first = entry;
}

void pending_remove(struct pending_list *list, struct pending *entry) {
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        list->first = entry->next;
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    else
        list->last = entry->previous;
}

static uint32_t scanout_bit(const struct pending *entry) {
    return 1u << entry->record.scanout_id;
}

unsigned pending_take_staged(struct pending_list *queue, struct pending **taken, unsigned room,
                             size_t bytes) {
    uint32_t behind_image = 0;
    unsigned count = 0;
    struct pending *next;

    for (struct pending *entry = queue->first; entry != NULL && count < room; entry = next) {
        size_t length = pending_row_length(entry) * entry->height;
        next = entry->next;
        if (!pending_staged(entry)) {
            behind_image |= scanout_bit(entry);
            continue;
        }
        if (behind_image & scanout_bit(entry))
            continue;
        if (count > 0 && (length > bytes || !pending_contiguous(entry)))
            break;
        pending_remove(queue, entry);
        taken[count++] = entry;
        if (length > bytes || !pending_contiguous(entry))
            break;
        bytes -= length;
    }
    return count;
}

struct pending *pending_take_image(struct pending_list *queue) {
    uint32_t behind = 0;

    for (struct pending *entry = queue->first; entry != NULL; entry = entry->next) {
        if (!pending_staged(entry) && !(behind & scanout_bit(entry))) {
            pending_remove(queue, entry);
            return entry;
        }
        behind |= scanout_bit(entry);
    }
    return NULL;
}

bool pending_covers(const struct pending *over, const struct pending *under) {
    return over->record.scanout_id == under->record.scanout_id && under->rows_sent == 0 &&
           over->x <= under->x && over->y <= under->y &&
           over->x + over->width >= under->x + under->width &&
           over->y + over->height >= under->y + under->height;
}
