# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Links are made for an ordinary user who has all the pages of pipes that the kernel wants him to have."""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from vgpud.tree.links import BELL_BYTES, PIPE_BYTES, NewLinks

PAGE = 4096
NOBODY_ELSE = 64321
SOFT = Path("/proc/sys/fs/pipe-user-pages-soft")

PROGRAM = """
import fcntl, os, sys
from vgpud.tree.links import NewLinks
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(*[int(sys.argv[1])] * 3); os.setresuid(*[int(sys.argv[1])] * 3)
hoard = []
while True:
    hoard.append(os.pipe())
    try:
        fcntl.fcntl(hoard[-1][1], fcntl.F_SETPIPE_SZ, 64 << 10)
    except PermissionError:
        break
sizes = []
for _ in range(20):
    with NewLinks() as links:
        reading, writing = links.reports(keep=True)
        os.write(writing, b"x" * 4096)
        assert len(os.read(reading, 8192)) == 4096
        sizes.append(fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ))
print(len(hoard), min(sizes))
"""


def test_pipes_are_as_small_as_they_are_asked_to_be() -> None:
    with NewLinks() as links:
        for size in (BELL_BYTES, PIPE_BYTES):
            reading, _ = links.reports(size)
            assert fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ) == size
        links.keep_nothing()


def test_a_user_without_pages_left_gets_smaller_pipes() -> None:
    pages = int(SOFT.read_text())
    pipes = pages // 16 + 64
    if not 0 < pipes * 2 < resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200:
        pytest.skip("this process may not have enough descriptors to use all pages up")
    done = subprocess.run(
        ["prlimit", f"--nofile={pipes * 2 + 200}", sys.executable, "-c", PROGRAM, str(NOBODY_ELSE)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    hoard, smallest = map(int, done.stdout.split())
    assert hoard > 1
    assert PAGE <= smallest <= 2 * PAGE
