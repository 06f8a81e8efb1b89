# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Forks processes that keep the descriptors that they are given, and no others of ours."""

import os
import sys
import traceback
from collections.abc import Callable, Iterable

from vgpud.errors import EXIT_INTERNAL
from vgpud.tree.messages import DEVICE, RENDER_SERVER, SESSION, VIEW
from vgpud.tree.process import allow_many_descriptors, go_before_others, name_process
from vgpud.walls import apparmor, missing

# Shares of the descriptors that the daemon may have: the less a process is trusted, the fewer.
SHARES = {SESSION: 0.75, DEVICE: 0.5, RENDER_SERVER: 0.5, VIEW: 0.25}
# What is killed first when memory runs out: a worker of a render server, which costs a context;
# then a device process, which is replaced; then a session, which costs a machine its GPU; all of
# them before the daemon and the spawner.  The numbers are small, so that the larger of two machines
# is hit, and a device process of a few MiB is not killed for a program that has taken a tenth of
# the host's memory.  A viewer can connect again.
OOM_POINTS = {SESSION: 50, DEVICE: 100, RENDER_SERVER: 150, VIEW: 150}
STANDARD_ERROR = 2
FIRST = 3  # after the standard streams


class Child:
    """A child of this process, until it is reaped."""

    def __init__(self, machine: int, kind: str, pid: int) -> None:
        self.machine = machine
        self.kind = kind
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)


def fork(machine: int, kind: str, log: int, kept: Iterable[int], work: Callable[[], int]) -> Child:
    """A child that calls ``work`` and ends with the status that it returns; OSError when there
    cannot be one.

    It has ``log`` as its standard error, and of all other descriptors only those that are ``kept``.
    """
    pid = os.fork()
    if pid:
        return Child(machine, kind, pid)
    status = EXIT_INTERNAL
    try:
        _redirect(log)
        _close_all_but(kept)
        name_process(f"vgpud-{kind}")
        if points := OOM_POINTS.get(kind):
            go_before_others(points)
        allow_many_descriptors(SHARES.get(kind, 1.0))
        for door in missing(apparmor.confine, kind):
            sys.stderr.write(f"<4>a {kind} process is not confined in full: {door}\n")
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        _say_last_words()
        # The child must not run the spawner's exit handlers.
        os._exit(status)


def _redirect(log: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(STANDARD_ERROR):
        os.dup2(null, stream)
    os.dup2(log, STANDARD_ERROR)


def _close_all_but(kept: Iterable[int]) -> None:
    first = FIRST
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _say_last_words() -> None:
    try:
        sys.stderr.flush()
    except OSError:
        return
