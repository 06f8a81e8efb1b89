# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A front-end may leave its connection open when it ends, even in our own hands: its session still
ends.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from loguru import logger

from vgpud.config.schema import Config
from vgpud.session.session import serve_frontend
from vgpud.vhost_user import sender

from ..daemon.running import daemon, wait_until
from ..driver.frontend import Frontend, Request
from .executed import ExecutedDevices

# Gives its own connection away, and then does nothing any more.
PROGRAM = """
import array, socket, struct, sys, time
end = socket.socket(fileno=int(sys.argv[1]))
header = struct.pack("=3I", int(sys.argv[2]), 1, 0)
end.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [end.fileno()]))])
time.sleep(0.5)
print("done", flush=True)
time.sleep(60)
"""

# Sends its own connection to where nobody has asked for anything, and leaves.
PARKING = """
import array, socket, struct, sys
def send(end, data, passed):
    end.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed.fileno()]))])
end = socket.socket(fileno=int(sys.argv[1]))
one, other = socket.socketpair()
send(end, struct.pack("=3I", int(sys.argv[2]), 1, 0), other)
send(one, b"x", end)
print("done", flush=True)
"""


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lambda line: lines.append(str(line)), format="{message}")
    yield lines
    logger.remove(handler)


def play(program: str, end: socket.socket, request: int) -> int:
    """Its process, which has ended."""
    with end:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(end.fileno()), str(request)],
            pass_fds=[end.fileno()],
            stdout=subprocess.PIPE,
        )
    assert process.stdout is not None
    assert process.stdout.readline() == b"done\n"
    process.kill()
    process.communicate()
    return process.pid


@pytest.mark.parametrize("request_number", [Request.SET_BACKEND_REQ_FD, Request.GPU_SET_SOCKET])
async def test_a_session_ends_with_the_process_that_gave_its_own_connection(
    monkeypatch: pytest.MonkeyPatch, log: list[str], request_number: int
) -> None:
    monkeypatch.setattr(sender, "GRACE_SECONDS", 0.2)
    before = len(list(Path("/proc/self/fd").iterdir()))
    ours, theirs = socket.socketpair()
    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            end = trio.socket.from_stdlib_socket(theirs)
            nursery.start_soon(serve_frontend, end, Config(), ExecutedDevices())
            process_id = await trio.to_thread.run_sync(play, PROGRAM, ours, request_number)
    assert any(f"process {process_id} has ended" in line for line in log)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("request_number", [Request.SET_BACKEND_REQ_FD, Request.GPU_SET_SOCKET])
async def test_a_connection_on_its_way_to_us_is_not_kept_open(
    log: list[str], request_number: int
) -> None:
    ours, theirs = socket.socketpair()
    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            end = trio.socket.from_stdlib_socket(theirs)
            nursery.start_soon(serve_frontend, end, Config(), ExecutedDevices())
            await trio.to_thread.run_sync(play, PARKING, ours, request_number)
    assert not any("has ended" in line for line in log)


@pytest.mark.parametrize("request_number", [Request.SET_BACKEND_REQ_FD, Request.GPU_SET_SOCKET])
def test_another_connection_of_one_s_own_is_refused(request_number: int) -> None:
    with daemon() as backend:
        with socket.socket(socket.AF_UNIX) as another:
            frontend = Frontend.connect(backend.socket_path)
            another.connect(os.fspath(backend.socket_path))
            frontend.send(request_number, fds=(another.fileno(),))
            assert wait_until(lambda: "leads back to the front-end's own connection" in backend.log)
            frontend.close()
        assert wait_until(lambda: backend.log.count("gone") == 1)
        # The other one has said nothing: it never had a session.
        assert backend.log.count("connected") == 1
