/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A render server that draws nothing: it has workers for the contexts 1 to 3 and the one with the
 * largest number there is, none of which ends by itself, and waits as long as its socket is open.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void be_worker(int ctx_id) {
    char name[16];

    snprintf(name, sizeof(name), "virgl-%d-gpu_ren", ctx_id);
    prctl(PR_SET_NAME, name);
    for (;;)
        sleep(1000);
}

int main(int argc, char **argv) {
    char byte;

    signal(SIGCHLD, SIG_IGN); /* they are reaped */
    /* Numbers have signs in names, as virglrenderer prints them. */
    for (int ctx_id = -1; ctx_id <= 3; ctx_id++)
        if (ctx_id != 0 && fork() == 0)
            be_worker(ctx_id);
    return argc == 3 && recv(atoi(argv[2]), &byte, 1, 0) >= 0 ? 0 : 1;
}
