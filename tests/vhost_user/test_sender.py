# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whose connection it is, and that it ends with its process, whoever holds it open."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from vgpud.config.schema import Socket
from vgpud.daemon.listener import open_listener
from vgpud.errors import FrontendError
from vgpud.vhost_user import sender
from vgpud.vhost_user.framing import Connection
from vgpud.vhost_user.requests import Backend, serve

from ..driver.protocol import send_message

GET_QUEUE_NUM = 17

# Says something on its descriptor, for each line that it reads.
PROGRAM = """
import os, struct, sys
for line in sys.stdin:
    os.write(int(sys.argv[1]), struct.pack("=3I", 17, 1, 0) * int(line))
    print("said", flush=True)
"""


class Process:
    """A front-end of its own."""

    def __init__(self, end: socket.socket) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(end.fileno())],
            pass_fds=[end.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def say(self, requests: int = 1) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{requests}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "said\n"

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Ends:
    def __init__(self) -> None:
        self.theirs, self.ours = socket.socketpair()
        self.connection = Connection(trio.socket.from_stdlib_socket(self.ours))

    async def receive(self) -> None:
        message = await self.connection.receive()
        assert message is not None


@pytest.fixture
async def ends(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ends]:
    monkeypatch.setattr(sender, "GRACE_SECONDS", 0.1)
    ends = Ends()
    with ends.theirs:
        yield ends
    ends.connection.close()


async def test_the_sender_is_who_speaks_and_not_who_connected(ends: Ends) -> None:
    process = Process(ends.theirs)
    before = ends.connection.sender
    process.say()
    assert not ends.connection.sender_known.is_set()
    await ends.receive()
    assert (before, ends.connection.sender) == (None, process.pid)
    assert ends.connection.sender_known.is_set()
    send_message(ends.theirs, GET_QUEUE_NUM, 1)
    await ends.receive()
    assert ends.connection.sender == os.getpid()
    process.end()


async def test_descriptors_come_beside_the_sender(ends: Ends) -> None:
    file = os.memfd_create("file")
    socket.send_fds(ends.theirs, [b"\5\0\0\0\1\0\0\0\0\0\0\0"], [file] * 253)
    message = await ends.connection.receive()
    assert message is not None
    with message:
        assert len(message.descriptors) == 253
        assert ends.connection.sender == os.getpid()
    os.close(file)


def test_the_first_message_has_a_sender_though_it_comes_before_it_is_accepted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "vgpu.sock"
    listener = open_listener(Socket(path=path))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        process = Process(client)
        process.say()
        end, _ = listener.end.accept()
        _, ancillary, _, _ = end.recvmsg(1, sender.CREDENTIALS_BYTES)
        end.close()
    assert sender.sender_in(ancillary) == process.pid
    process.end()
    listener.close()


async def test_a_process_that_ends_is_missed_though_its_connection_is_open(ends: Ends) -> None:
    process = Process(ends.theirs)
    process.say()
    await ends.receive()
    process.end()
    with trio.fail_after(5):
        assert await ends.connection.sender_left() == process.pid


async def test_one_that_has_ended_long_ago_is_missed_as_well(ends: Ends) -> None:
    process = Process(ends.theirs)
    process.say()
    process.end()
    await ends.receive()
    with trio.fail_after(5):
        assert await ends.connection.sender_left() == process.pid


async def still(wait: Callable[[], object], seconds: float = 0.5) -> bool:
    with trio.move_on_after(seconds) as scope:
        await wait()  # type: ignore[misc]
    return scope.cancelled_caught


async def test_one_that_lives_is_not_missed(ends: Ends) -> None:
    process = Process(ends.theirs)
    process.say()
    await ends.receive()
    assert await still(ends.connection.sender_left)
    process.end()


async def test_nobody_is_missed_before_anybody_has_spoken(ends: Ends) -> None:
    assert await still(ends.connection.sender_left)


async def test_one_that_cannot_be_named_is_not_missed(ends: Ends) -> None:
    """As after a message that came from outside of our PID namespace."""
    ends.connection._sender.note(0)
    assert ends.connection.sender is None
    assert ends.connection.sender_known.is_set()
    assert await still(ends.connection.sender_left)


async def test_another_process_may_go_on(ends: Ends, nursery: trio.Nursery) -> None:
    first, second = Process(ends.theirs), Process(ends.theirs)
    missed: list[int] = []

    async def watch() -> None:
        missed.append(await ends.connection.sender_left())

    first.say()
    await ends.receive()
    nursery.start_soon(watch)
    await trio.testing.wait_all_tasks_blocked(0.01)
    first.end()
    second.say()
    await ends.receive()
    await trio.sleep(0.5)
    assert missed == []
    assert ends.connection.sender == second.pid
    second.end()
    with trio.fail_after(5):
        while not missed:
            await trio.sleep(0.01)
    assert missed == [second.pid]


async def test_what_it_has_said_before_its_end_is_heard(ends: Ends) -> None:
    process = Process(ends.theirs)
    process.say(2)
    await ends.receive()
    process.end()
    assert await still(ends.connection.sender_left)
    await ends.receive()
    with trio.fail_after(5):
        assert await ends.connection.sender_left() == process.pid


async def test_the_end_of_the_connection_is_left_to_who_reads_it(ends: Ends) -> None:
    process = Process(ends.theirs)
    process.say()
    await ends.receive()
    ends.theirs.close()
    process.end()
    assert await still(ends.connection.sender_left)
    assert await ends.connection.receive() is None


class Answering:
    protocol_features = 0

    async def get_queue_num(self) -> int:
        return 2

    async def run(self) -> None:
        """There is nothing else."""


async def test_serving_ends_with_the_front_end_s_process(ends: Ends) -> None:
    process = Process(ends.theirs)
    process.say()
    process.end()
    with trio.fail_after(5), pytest.raises(BaseExceptionGroup) as raised:
        await serve(ends.connection, cast(Backend, Answering()))
    [error] = raised.value.exceptions
    assert isinstance(error, FrontendError)
    assert str(error) == f"process {process.pid} has ended, but others hold its connection open"


def connected(tmp_path: Path) -> tuple[socket.socket, socket.socket, socket.socket]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(tmp_path / "socket"))
    return listener, client, listener.accept()[0]


async def test_an_end_of_our_own_connections_is_no_display(tmp_path: Path) -> None:
    listener, client, ours = connected(tmp_path)
    pair = socket.socketpair()
    file = os.memfd_create("file")
    connection = Connection(trio.socket.from_stdlib_socket(ours))
    for own in (listener, client, ours):
        with pytest.raises(FrontendError, match="leads back"):
            connection.check_foreign([file, own.fileno()])
    connection.check_foreign([file, pair[0].fileno(), pair[1].fileno()])
    for end in (listener, client, *pair):
        assert end.fileno() >= 0
        end.close()
    connection.close()
    os.close(file)


async def test_our_end_of_a_pair_is_no_display_either(ends: Ends) -> None:
    with pytest.raises(FrontendError, match="leads back"):
        ends.connection.check_foreign([ends.ours.fileno()])
