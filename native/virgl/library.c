/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* dladdr */

#include "virgl/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virgl/zeroing.h"

#define LIBRARY "libvirglrenderer.so.1"

struct function {
    const char *name;
    size_t place; /* in struct virgl_api */
};

#define VIRGL_FUNCTION(result, name, parameters)                                                   \
    {"virgl_renderer_" #name, offsetof(struct virgl_api, name)},
static const struct function required[] = {VIRGL_FUNCTIONS};
static const struct function optional[] = {
    VIRGL_OPTIONAL_FUNCTIONS{"virgl_set_debug_callback",
                             offsetof(struct virgl_api, set_debug_callback)},
};
static const struct function unsaid[] = {VIRGL_EXPORT_FUNCTIONS VIRGL_BLOB_FUNCTIONS};
#undef VIRGL_FUNCTION

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int find(void *library, const struct function *function, struct virgl_api *api) {
    void *address = dlsym(library, function->name);

    /* POSIX lets dlsym's result be a function's address; C has no cast for it. */
    memcpy((char *)api + function->place, &address, sizeof(address));
    return address != NULL;
}

/* Only the name of the file that the link points to shows the release. */
static void describe(void *function, char *text, size_t size) {
    char path[PATH_MAX];
    const char *slash;
    Dl_info info;

    if (dladdr(function, &info) == 0 || realpath(info.dli_fname, path) == NULL) {
        snprintf(text, size, "%s", LIBRARY);
        return;
    }
    slash = strrchr(path, '/');
    snprintf(text, size, "%s", slash != NULL ? slash + 1 : path);
}

static void append(char *text, size_t size, const char *before, const char *word) {
    size_t length = strlen(text);

    snprintf(text + length, size - length, "%s%s", before, word);
}

/* `text` gets what is missing. */
static int find_required(void *library, struct virgl_api *api, char *text, size_t size) {
    for (size_t index = 0; index < COUNT(required); index++)
        if (!find(library, &required[index], api)) {
            snprintf(text, size, "%s has no %s", LIBRARY, required[index].name);
            return -ENOSYS;
        }
    return 0;
}

static void find_others(void *library, struct virgl_api *api, char *text, size_t size) {
    const char *before = ", without ";

    for (size_t index = 0; index < COUNT(optional); index++)
        if (!find(library, &optional[index], api)) {
            append(text, size, before, optional[index].name);
            before = ", ";
        }
    for (size_t index = 0; index < COUNT(unsaid); index++)
        find(library, &unsaid[index], api);
}

int virgl_library_open(struct virgl_api *api, char *text, size_t size) {
    /* RTLD_LOCAL: other libraries must not see its symbols.  It is never closed: GL drivers leave
     * threads behind. */
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL), *function;

    if (library == NULL) {
        snprintf(text, size, "%s", dlerror());
        return -ENOENT;
    }
    if (find_required(library, api, text, size) < 0)
        return -ENOSYS;
    if (virgl_zero_allocations(library) < 0) {
        snprintf(text, size, "%s does not allocate by malloc(), so it cannot be kept from leaking",
                 LIBRARY);
        return -ENOSYS;
    }
    memcpy(&function, &api->init, sizeof(function));
    describe(function, text, size);
    find_others(library, api, text, size);
    return 0;
}
