# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A user who has used up the kernel's soft limit of pages for pipes: ``python -m tests.driver.hoard
USER``.
"""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOFT = Path("/proc/sys/fs/pipe-user-pages-soft")
PIPE_BYTES, PAGES_EACH = 64 << 10, 16
OTHER_DESCRIPTORS = 200
ROOT = Path(__file__).resolve().parents[2]


def descriptors_needed() -> int:
    return 2 * (int(SOFT.read_text()) // PAGES_EACH + 64) + OTHER_DESCRIPTORS


def why_not() -> str:
    """Why there can be no such user; nothing when there can."""
    if os.geteuid() != 0:
        return "only root can be another user"
    if int(SOFT.read_text()) == 0:
        return "this kernel counts no pages of pipes"
    if descriptors_needed() > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        return "a process may not have enough descriptors to use all pages up"
    return ""


@contextmanager
def no_pipe_pages(user: int) -> Iterator[None]:
    """That user has no page left as long as the context."""
    command = [sys.executable, "-m", "tests.driver.hoard", str(user)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.kill()


def become(user: int) -> None:
    """For good."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def main(user: str) -> None:
    needed = descriptors_needed()
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
    become(int(user))
    hoard = []
    while True:
        hoard.append(os.pipe())
        try:
            fcntl.fcntl(hoard[-1][1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except PermissionError:
            break
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
