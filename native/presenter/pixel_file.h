/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A memfd of the device process with pixels in it, as the session holds it: checked and mapped for
 * reading once, kept while anything still refers to it.
 *
 * A guest may have taken over the device process.  After the check it cannot make the file shorter,
 * and the mapping is only given to system calls, never read here.  So nothing that it does to the
 * file can raise a signal in the session.
 */
#ifndef VGPUD_PIXEL_FILE_H
#define VGPUD_PIXEL_FILE_H

#include <stddef.h>
#include <stdint.h>

struct pixel_file {
    int fd;
    unsigned references;
    size_t length;
    const uint8_t *map;

    uint32_t image_id, width, height; /* of an image; the staging ring leaves them 0 */
};

/*
 * Takes `fd` over (closed on failure too).  NULL unless it is a memfd sealed against shrinking of
 * at least `length` bytes.
 */
struct pixel_file *pixel_file_open(int fd, size_t length);
struct pixel_file *pixel_file_hold(struct pixel_file *file);
void pixel_file_release(struct pixel_file *file); /* NULL: nothing */

#endif
