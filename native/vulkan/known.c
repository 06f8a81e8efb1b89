/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "vulkan/known.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
    void *dispatch;
    struct known known;
    struct entry *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;

/* The place of its pointer, which holds NULL when there is none.  With the lock. */
static struct entry **place_of(const struct vulkan_object *object) {
    struct entry **place = &entries;

    while (*place != NULL && (*place)->dispatch != object->dispatch)
        place = &(*place)->next;
    return place;
}

bool known_add(const struct known *known) {
    struct entry *entry = malloc(sizeof(*entry));

    if (entry == NULL)
        return false;
    pthread_mutex_lock(&lock);
    *entry = (struct entry){known->object->dispatch, *known, entries};
    entries = entry;
    pthread_mutex_unlock(&lock);
    return true;
}

bool known_find(const struct vulkan_object *object, struct known *found) {
    const struct entry *entry;

    pthread_mutex_lock(&lock);
    entry = *place_of(object);
    if (entry != NULL)
        *found = entry->known;
    pthread_mutex_unlock(&lock);
    return entry != NULL;
}

void known_remove(const struct vulkan_object *object) {
    struct entry **place, *entry;

    pthread_mutex_lock(&lock);
    place = place_of(object);
    entry = *place;
    if (entry != NULL)
        *place = entry->next;
    pthread_mutex_unlock(&lock);
    free(entry);
}
