/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "presenter/presenter_state.h"

void presenter_finish(struct presenter *presenter, struct pending *entry) {
    if (!entry->orphan && !pending_staged(entry)) {
        pending_append(entry->live > 0 ? &presenter->draining : &presenter->answers, entry);
        return;
    }
    if (!entry->orphan)
        presenter->source.untold++;
    pending_free(&presenter->pool, entry);
}

void presenter_note_scanout(struct presenter *presenter, uint32_t scanout_id) {
    const struct size *wanted = &presenter->wanted[scanout_id];
    const struct size *announced = &presenter->announced[scanout_id];
    uint32_t bit = 1u << scanout_id;

    if (buffers_wanted(&presenter->buffers, scanout_id))
        presenter->changed &= ~bit; /* DMABUF_SCANOUT has its size */
    else if (wanted->width == announced->width && wanted->height == announced->height)
        presenter->changed &= ~bit;
    else
        presenter->changed |= bit;
}
