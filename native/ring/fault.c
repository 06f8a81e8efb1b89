/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ring/fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

struct guard {
    sigjmp_buf environment;
    struct guard *outer;
};

static _Thread_local struct guard *volatile current;
static struct sigaction previous;
static pthread_once_t installed = PTHREAD_ONCE_INIT;

/* Sets the default handler: the signal comes again, and ends the process with a core dump. */
static void give_up(void) {
    signal(SIGBUS, SIG_DFL);
}

static void on_bus_error(int number, siginfo_t *information, void *context) {
    struct guard *guard = current;

    if (guard != NULL)
        siglongjmp(guard->environment, 1);
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(number, information, context);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(number);
    else
        give_up();
}

/* SA_NODEFER: the handler is left by a jump, so the signal mask must stay as it is without a system
 * call. */
static void install(void) {
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous);
}

/* A library blocks all signals in its threads, and a blocked SIGBUS ends the process at once. */
static void unblock(void) {
    static _Thread_local bool unblocked;
    sigset_t set;

    if (unblocked)
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    unblocked = true;
}

bool fault_guarded(void (*work)(void *argument), void *argument) {
    struct guard guard = {.outer = current};
    bool faulted;

    pthread_once(&installed, install);
    unblock();
    faulted = sigsetjmp(guard.environment, 0) != 0;
    if (!faulted) {
        current = &guard;
        work(argument);
    }
    current = guard.outer;
    return !faulted;
}
