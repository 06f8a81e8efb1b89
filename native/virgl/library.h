/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Opens libvirglrenderer at run time and finds out what the installed release offers. */
#ifndef VGPUD_VIRGL_LIBRARY_H
#define VGPUD_VIRGL_LIBRARY_H

#include <stddef.h>

#include "virgl/api.h"

/* Fills `api`; 0, -ENOENT when the library is not installed, -ENOSYS when it lacks a function that
 * we need. `text` gets the file's name and what it lacks, or the reason of the failure. */
int virgl_library_open(struct virgl_api *api, char *text, size_t size);

#endif
