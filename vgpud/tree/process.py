# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a process of the tree tells or asks the kernel, by prctl(2), waitid(2) and others."""

import ctypes
import errno
import fcntl
import os
import platform
import resource
import signal
import struct
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36
# By the machine's name; <linux/sched/types.h> has the structure.
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
SCHED_ATTR = struct.Struct("<IIQiIQQQ")
SLICE_NANOSECONDS = 100_000
OOM_SCORE_ADJ, OOM_SCORE_ADJ_MAX = "/proc/self/oom_score_adj", 1000

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: object) -> None:
    if _libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def name_process(name: str) -> None:
    """Sets the name in ps(1) and top(1), at most 15 characters: forked processes share their
    command line.
    """
    _prctl(PR_SET_NAME, name.encode())


def leave_job() -> None:
    """Signals that a terminal sends to a whole job are for the daemon only: a process group of our
    own, without the terminal.

    Not a session of our own. Linux shares processors out among sessions first (sched(7), "The
    autogroup feature"), and wakes a process up later when others of another session are busy. A VMM
    that was started from the same shell is of the daemon's session.
    """
    # When the daemon dies while one process of the group is stopped, the kernel sends this to all of
    # them.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.setpgid(0, 0)
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # there is none
        return
    try:
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
    finally:
        os.close(terminal)


def take_short_turns() -> None:
    """Lets this thread, and those that it starts, in before others that compute, for a tenth of a
    millisecond: enough for who is woken for little, and no larger share of the processor.

    Of Linux 6.12 and newer (sched_setattr(2), a slice of SCHED_OTHER), and without a privilege; the
    older ones, and units with RestrictRealtime=, leave it at the usual turns, of milliseconds.
    """
    number = SCHED_SETATTR.get(platform.machine())
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = (SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, SLICE_NANOSECONDS, 0, 0)
    _libc.syscall(number, 0, SCHED_ATTR.pack(*wanted), 0)


def adopt_orphans() -> None:
    """Makes the children of a child that has died ours: somebody has to reap them."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def allow_many_descriptors(share: float = 1.0) -> None:
    """Raises the limit of descriptors to this share of what the administrator allows, for good:
    each image of each guest takes one.

    The kernel counts the descriptors under way in sockets for the user, and compares the count with
    the sender's limit: a process with a lower limit cannot use up what those with a higher one
    need.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = int(hard * share)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def go_before_others(points: int) -> None:
    """When memory runs out the kernel compares the sizes of processes; ``points`` thousandths of
    all memory (of the unit's, when that has run out) are added to ours (proc(5), oom_score_adj).
    Every process may raise its own.

    A daemon that is protected by a negative number does not protect processes forked below it.
    """
    try:
        with Path(OOM_SCORE_ADJ).open("r+") as file:
            before = int(file.read())
            file.seek(0)
            file.write(str(min(max(before, 0) + points, OOM_SCORE_ADJ_MAX)))
    except OSError as error:
        # We serve all the same; the kernel then chooses by size alone.
        sys.stderr.write(f"vgpud: {OOM_SCORE_ADJ}: {error.strerror}\n")


def name_of(pid: int) -> str:
    """The name of a process, which it may have chosen: any bytes.  ``OSError`` when there is none."""
    return Path(f"/proc/{pid}/comm").read_text(errors="replace").removesuffix("\n")


def status_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat (proc(5)) after the name, which may have anything in it.
    ``OSError`` when there is no such process.
    """
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def children_of(pid: int) -> list[int]:
    """The processes that its first thread has forked."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Ending(NamedTuple):
    """How a process ended: by ``signal``, or when that is 0 with the exit status ``code``.

    ``out_of_memory``: the kernel has killed it, since there was no more memory for its control group.
    """

    code: int
    signal: int
    out_of_memory: bool = False

    def __str__(self) -> str:
        if self.out_of_memory:
            return "SIGKILL by the kernel, which had no memory left for the service"
        if not self.signal:
            return f"status {self.code}"
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"


def reap(pidfd: int) -> Ending | None:
    """How a process ended; None while it runs, and if it is not our child."""
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if found is None:
        return None
    if found.si_code == os.CLD_EXITED:
        return Ending(found.si_status, 0)
    return Ending(0, found.si_status)


def end_group(group: int) -> None:
    """SIGKILL for a process group, if any process is left in it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def reap_group(group: int) -> bool:
    """Reaps our ended children in a process group; whether none is left."""
    while True:
        try:
            found = os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return True
        if found is None:
            return False


def kill(pidfd: int) -> None:
    """SIGKILL, if it still runs."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise
