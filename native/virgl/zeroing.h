/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Makes the library allocate zeroed memory.
 *
 * To read from a resource it allocates a buffer, has GL fill it and copies all of it to the guest,
 * even what GL has not filled: of several layers GL fills only the first, and of a multisampled
 * resource nothing.  The rest would be what this process had there before, its addresses included.
 * A stream can ask for such a transfer too, so the library itself has to be changed.
 */
#ifndef VGPUD_VIRGL_ZEROING_H
#define VGPUD_VIRGL_ZEROING_H

/* `library`: from dlopen(), and not used yet.  0; -ENOSYS: it cannot be done here. */
int virgl_zero_allocations(void *library);

#endif
