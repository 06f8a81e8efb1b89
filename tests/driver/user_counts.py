# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the kernel counts for a user and not for a process, for some processes of a user, from
/proc.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from .processes import GONE, PROC

PAGE = os.sysconf("SC_PAGESIZE")


def user_counts(processes: Iterable[int]) -> dict[str, int]:
    """Of all of them together, by the names of the kernel's limits."""
    own = list(processes)
    return {
        "pipe-user-pages-soft": _pipe_pages(own),
        "max_user_watches of epoll": sum(_lines(one, "fdinfo/*", "tfd:") for one in own),
        "max_user_instances of inotify": sum(_links(one, "inotify") for one in own),
        "RLIMIT_NPROC": sum(_status(one, "Threads:") for one in own),
        "RLIMIT_MEMLOCK": sum(_status(one, "VmLck:") for one in own),
        "RLIMIT_MSGQUEUE": sum(_links(one, "mqueue") for one in own),
        "timers, which are pending signals": sum(_lines(one, "timers", "ID:") for one in own),
        "pending signals": sum(_status(one, "SigPnd:") + _status(one, "ShdPnd:") for one in own),
        "keys": _keys(),
    }


def _pipe_pages(processes: Iterable[int]) -> int:
    found: dict[int, int] = {}
    for process in processes:
        for entry in _entries(process, "fd"):
            with suppress(OSError):
                if not str(entry.readlink()).startswith("pipe:"):
                    continue
                descriptor = os.open(entry, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                found[os.fstat(descriptor).st_ino] = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
                os.close(descriptor)
    return sum(found.values()) // PAGE


def _links(process: int, name: str) -> int:
    count = 0
    for entry in _entries(process, "fd"):
        with suppress(*GONE):
            count += name in str(entry.readlink())
    return count


def _entries(process: int, folder: str) -> Iterator[Path]:
    with suppress(*GONE):
        yield from list((PROC / str(process) / folder).iterdir())


def _lines(process: int, pattern: str, beginning: str) -> int:
    count = 0
    for file in (PROC / str(process)).glob(pattern):
        with suppress(*GONE):
            count += sum(line.startswith(beginning) for line in file.read_text().splitlines())
    return count


def _status(process: int, name: str) -> int:
    with suppress(*GONE):
        for line in (PROC / str(process) / "status").read_text(errors="replace").splitlines():
            if line.startswith(name):
                # The sets of signals are hexadecimal, and to be empty.
                word = line.split()[1]
                return int(word, 16 if name.endswith("Pnd:") else 10)
    return 0


def _keys() -> int:
    with suppress(OSError):
        for line in Path("/proc/key-users").read_text().splitlines():
            user, _, rest = line.strip().partition(":")
            if int(user) == os.geteuid():
                return int(rest.split()[0])
    return 0
