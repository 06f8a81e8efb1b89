# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is none of a machine's business, and how it is: files, a socket, other processes, what outlives all of them."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from .closing import Closing

SYSTEM_V = tuple(Path("/proc/sysvipc", kind) for kind in ("shm", "sem", "msg"))
"""What outlives every process, of the namespace that one is in."""


class Bystander(Closing):
    """A socket and files of a folder's owner that none of his processes has to do with.

    ``shared``: where files of everybody's are.
    """

    def __init__(self, folder: Path, shared: Path = Path("/dev/shm")) -> None:
        self.end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.end.bind(str(folder / "journal"))
        self._shared = shared / folder.name
        owner = folder.stat()
        files = [self._shared, folder / "state"]
        for file in files:
            file.write_bytes(b"of value")
        self.paths = [*files, folder / "journal"]
        for path in self.paths:
            os.chown(path, owner.st_uid, owner.st_gid)

    def heard(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return self.end.recv(100)
        return b""

    def close(self) -> None:
        self.end.close()
        for path in self.paths:
            path.unlink(missing_ok=True)


def state_of(process: int) -> object:
    """What others could change of it."""
    own = Path(f"/proc/{process}")
    priority = os.getpriority(os.PRIO_PROCESS, process)
    scheduling = os.sched_getscheduler(process), os.sched_getaffinity(process)
    return priority, scheduling, [(own / name).read_text() for name in ("limits", "oom_score_adj")]


def state_of_file(path: Path) -> object:
    found = path.lstat()
    return found.st_mode, found.st_uid, found.st_size
