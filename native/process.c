/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

static pid_t parent;

/*
 * The kernel sends the signal when the parent's *thread* that started us ends, and trio starts
 * processes in a thread of a pool: only another parent means that the process has gone.
 */
static void on_parent_death(int number) {
    (void)number;
    if (getppid() != parent)
        _exit(0);
}

int process_follow_parent(void) {
    struct sigaction action = {.sa_handler = on_parent_death, .sa_flags = SA_RESTART};

    parent = getppid();
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGHUP, &action, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGHUP) < 0)
        return -errno;
    return 0;
}
