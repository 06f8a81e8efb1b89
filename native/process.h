/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a process asks of the kernel for itself. */
#ifndef VGPUD_PROCESS_H
#define VGPUD_PROCESS_H

/* [python] */
/* Ends this process, whatever it is doing, when its parent process has ended; 0 or -errno. */
int process_follow_parent(void);
/* [end python] */

#endif
