# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The pipe on which a process's life depends: closing its other end ends the process."""

import fcntl
import os
import signal
from select import poll

F_SETSIG = 10  # <fcntl.h>


def end_with(life: int, group: bool = False) -> None:
    """Has the kernel kill this process, or its process group, when the pipe has no writing end
    left.

    A process that hangs in a library does not read its link, and PR_SET_PDEATHSIG follows the
    parent, which the session is not.
    """
    fcntl.fcntl(life, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp() if group else os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    if _is_closed(life):
        os.kill(os.getpid(), signal.SIGKILL)


def _is_closed(life: int) -> bool:
    """Whether the pipe was closed before the kernel was told."""
    looking = poll()
    looking.register(life, 0)
    return bool(looking.poll(0))
