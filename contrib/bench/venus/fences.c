/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What libvirglrenderer calls when a fence has passed, from threads of its own. */
#include <stdint.h>

uint64_t fences_passed;

void fences_note(void *cookie, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence_id) {
    (void)cookie;
    (void)ctx_id;
    (void)ring_idx;
    __atomic_store_n(&fences_passed, fence_id, __ATOMIC_RELEASE);
}

/* Of all contexts, which here have none. */
void fences_ignore(void *cookie, uint32_t fence_id) {
    (void)cookie;
    (void)fence_id;
}
