/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library's own GL context, which it calls context 0, and those of guests.
 *
 * A call draws, makes and deletes in whichever GL context is current.  What a guest's context has
 * bound is noted by the library and not bound again, so a call that is not the guest's must not be
 * made in its context: making a texture there takes another one away from the guest's next draw.
 * The library leaves it to its caller to say when context 0 is meant.
 */
#ifndef VGPUD_VIRGL_CONTEXT_0_H
#define VGPUD_VIRGL_CONTEXT_0_H

#include "virgl/started.h"

/* The functions, for a call that is nobody's: context 0 is current. */
static inline const struct virgl_api *api_in_context_0(struct gpu_library *library) {
    struct virgl *virgl = virgl_of(library);

    if (!virgl->in_context_0)
        virgl->api.force_ctx_0();
    virgl->in_context_0 = true;
    return &virgl->api;
}

/* The functions, for a call after which a guest's context may be current. */
static inline const struct virgl_api *api_leaving_context_0(struct gpu_library *library) {
    virgl_of(library)->in_context_0 = false;
    return api_of(library);
}

#endif
