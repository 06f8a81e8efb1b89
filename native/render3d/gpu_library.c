/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "render3d/gpu_library.h"

#include <errno.h>
#include <string.h>

void gpu_library_close(struct gpu_library *library) {
    library->operations->close(library);
}

int gpu_library_capset_size(struct gpu_library *library, uint32_t capset_id,
                            uint32_t *max_version) {
    return library->operations->capset_size(library, capset_id, max_version);
}

int gpu_library_capset_fill(struct gpu_library *library, uint32_t capset_id, uint32_t version,
                            uint8_t *data) {
    uint32_t max_version;
    int size = gpu_library_capset_size(library, capset_id, &max_version);

    if (size < 0)
        return size;
    /* A library may write nothing at all for a set that it was not started with. */
    memset(data, 0, (size_t)size);
    library->operations->capset_fill(library, capset_id, version, data);
    return 0;
}

int gpu_library_try_context(struct gpu_library *library, uint32_t capset_id) {
    static const char name[] = "trial";
    const uint32_t ctx_id = INT32_MAX; /* drivers count from 1 on */
    int error =
        library->operations->context_create(library, ctx_id, capset_id, name, sizeof(name) - 1);

    if (error == 0)
        library->operations->context_destroy(library, ctx_id);
    return error == 0 ? 0 : -ENODEV;
}
