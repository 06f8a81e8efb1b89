# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Links can be made for an ordinary user who has used up the kernel's soft limit of pages for
pipes.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys

import pytest

from tests.driver import hoard
from vgpud.tree.links import BELL_BYTES, PIPE_BYTES, NewLinks

PAGE = 4096
USER = 64321

PROGRAM = """
import fcntl, os, sys
from tests.driver.hoard import become
from vgpud.tree.links import NewLinks
become(int(sys.argv[1]))
with NewLinks() as links:
    reading, writing = links.reports(keep=True)
    os.write(writing, b"x" * 4096)
    assert len(os.read(reading, 8192)) == 4096
    print(fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ))
"""


def test_pipes_are_as_small_as_they_are_asked_to_be() -> None:
    with NewLinks() as links:
        for size in (BELL_BYTES, PIPE_BYTES):
            reading, _ = links.reports(size)
            assert fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ) == size
        links.keep_nothing()


def test_a_user_without_pages_left_gets_smaller_pipes() -> None:
    if reason := hoard.why_not():
        pytest.skip(reason)
    with hoard.no_pipe_pages(USER):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(USER)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=hoard.ROOT,
        )
    assert done.returncode == 0, done.stderr
    assert PAGE <= int(done.stdout) <= 2 * PAGE
