/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library allocates zeroed memory.
 *
 * To read from a resource it allocates a buffer, has GL fill it and copies all of it to the guest,
 * whether GL has filled it or not: of several layers GL fills the first alone, and nothing at all
 * of a multisampled one.  The rest would be what this process had there before, its addresses among
 * it.  A stream can ask for such a transfer too, so the library itself has to be cured.
 */
#ifndef VGPUD_VIRGL_ZEROING_H
#define VGPUD_VIRGL_ZEROING_H

/* `library`: of dlopen(), and used by nobody yet.  0; -ENOSYS: it cannot be done here. */
int virgl_zero_allocations(void *library);

#endif
