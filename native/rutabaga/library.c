/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#define _GNU_SOURCE /* dladdr */

#include "rutabaga/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "librutabaga_gfx_ffi.so.0"

struct function {
    const char *name;
    size_t place; /* in struct rutabaga_api */
};

#define RUTABAGA_FUNCTION(name, parameters)                                                        \
    {"rutabaga_" #name, offsetof(struct rutabaga_api, name)},
static const struct function functions[] = {RUTABAGA_FUNCTIONS};
#undef RUTABAGA_FUNCTION

/* All releases have the same name and no version to ask for: this function came with the field. */
static const char *const CAME_WITH_FEATURES = "rutabaga_resource_import";

static int find(void *library, const struct function *function, struct rutabaga_api *api) {
    void *address = dlsym(library, function->name);

    /* POSIX lets dlsym's result be a function's address; C has no cast for it. */
    memcpy((char *)api + function->place, &address, sizeof(address));
    return address != NULL;
}

static int find_all(void *library, struct rutabaga_api *api, char *text, size_t size) {
    for (size_t index = 0; index < sizeof(functions) / sizeof(functions[0]); index++)
        if (!find(library, &functions[index], api)) {
            snprintf(text, size, "%s has no %s", LIBRARY, functions[index].name);
            return -ENOSYS;
        }
    return 0;
}

/* Only the name of the file that the link points to shows the release. */
static void describe(const struct rutabaga_api *api, char *text, size_t size) {
    char path[PATH_MAX];
    const char *slash;
    void *function;
    Dl_info info;

    memcpy(&function, &api->init, sizeof(function));
    if (dladdr(function, &info) == 0 || realpath(info.dli_fname, path) == NULL) {
        snprintf(text, size, "%s", LIBRARY);
        return;
    }
    slash = strrchr(path, '/');
    snprintf(text, size, "%s", slash != NULL ? slash + 1 : path);
}

int rutabaga_library_open(struct rutabaga_api *api, bool *takes_features, char *text, size_t size) {
    /* RTLD_LOCAL: other libraries must not see its symbols.  It is never closed: it leaves threads
     *behind. */
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        snprintf(text, size, "%s", dlerror());
        return -ENOENT;
    }
    if (find_all(library, api, text, size) < 0)
        return -ENOSYS;
    *takes_features = dlsym(library, CAME_WITH_FEATURES) != NULL;
    describe(api, text, size);
    return 0;
}
