# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is read of another process, which may be hostile."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.driver.processes import wait_until
from vgpud.tree.process import children_of, name_of, status_fields

# It names itself, and forks one that waits.
NAMED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
os.fork()
sys.stdin.read()
"""
NAMES = [b"worker", b"\xff\xfe", b") R 1 1 1", b"two\nlines", b"(", b""]


@pytest.fixture(params=NAMES, ids=repr)
def named(request: pytest.FixtureRequest) -> Iterator[int]:
    command = [sys.executable, "-c", NAMED, request.param.hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert wait_until(lambda: children_of(process.pid))
        yield process.pid
        process.communicate()


def test_whatever_name_it_has_given_itself_its_state_is_read(named: int) -> None:
    state, parent, *_ = status_fields(named)
    assert state in "RSD"
    assert int(parent) == os.getpid()
    assert "python" not in name_of(named)
    [child] = children_of(named)
    assert status_fields(child)[1] == str(named)


def test_of_one_that_has_gone_there_is_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert children_of(process.pid) == []
    for read in (status_fields, name_of):
        with pytest.raises(OSError, match=str(process.pid)):
            read(process.pid)
