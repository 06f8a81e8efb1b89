/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A SIGBUS while guest memory is read or written (the VMM truncated the file, or the host's memory
 * is broken) ends one piece of work instead of the process.
 */
#ifndef VGPUD_FAULT_H
#define VGPUD_FAULT_H

#include <stdbool.h>

/*
 * Runs `work(argument)`; false when a SIGBUS of this thread ended it in the middle.  Then nothing
 * that it held is given back, so it must hold no lock, and own only what its argument can reach.
 * May be nested.  A SIGBUS outside goes to the previous handler.
 */
bool fault_guarded(void (*work)(void *argument), void *argument);

#endif
