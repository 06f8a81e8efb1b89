# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the back-end asks the front-end."""

import os
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio

from vgpud.errors import FrontendError
from vgpud.vhost_user import backend_channel
from vgpud.vhost_user.backend_channel import BackendChannel


class Ends:
    """``shared`` is our end as the front-end may have kept it."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.shared = ours.dup()
        self.channel = BackendChannel(ours.detach())
        self.theirs.settimeout(5)

    def close(self) -> None:
        self.channel.close()
        self.theirs.close()
        self.shared.close()


@pytest.fixture
async def ends(nursery: trio.Nursery) -> AsyncIterator[Ends]:
    """A channel that is read."""
    ends = Ends()
    nursery.start_soon(ends.channel.run)
    await trio.testing.wait_all_tasks_blocked()
    yield ends
    ends.close()


async def test_a_question_has_its_answer_and_carries_descriptors(ends: Ends) -> None:
    file = os.memfd_create("file")
    answers = []

    async def ask() -> None:
        answers.append(await ends.channel.ask(2, b"payload", [file]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        data, descriptors, _, _ = socket.recv_fds(ends.theirs, 100, 4)
        ends.theirs.send(struct.pack("=3IQ", 2, 5, 8, 7))
    assert data == struct.pack("=3I", 2, 9, 7) + b"payload"
    assert answers == [7]
    os.close(descriptors[0])
    os.close(file)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        bytes(19),
        bytes(20),
        struct.pack("=3IQ", 3, 5, 8, 0),
        struct.pack("=3IQ", 2, 1, 8, 0),
    ],
    ids=["nothing, and gone", "half, and gone", "zeros", "to another question", "no reply"],
)
async def test_a_wrong_answer_is_the_front_end_s_mistake(ends: Ends, answer: bytes) -> None:
    async def reply() -> None:
        await trio.testing.wait_all_tasks_blocked()
        ends.theirs.send(answer)
        ends.theirs.shutdown(socket.SHUT_WR)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reply)
        with trio.fail_after(2), pytest.raises(FrontendError):
            await ends.channel.ask(2, b"")
    with trio.fail_after(2), pytest.raises(FrontendError):
        await ends.channel.ask(2, b"")


async def test_an_answer_that_never_comes_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ends = Ends()
    start = trio.current_time()
    with pytest.raises(FrontendError):
        await ends.channel.ask(2, b"")
    assert trio.current_time() - start == pytest.approx(backend_channel.ANSWER_SECONDS)
    ends.close()


async def test_only_a_stream_socket_is_a_channel() -> None:
    for descriptor in (os.memfd_create("file"), socket.socket(type=socket.SOCK_DGRAM).detach()):
        with pytest.raises(FrontendError):
            BackendChannel(descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize("listens", [False, True])
async def test_a_socket_that_is_connected_to_nobody_is_not_answered(listens: bool) -> None:
    end = socket.socket(socket.AF_UNIX)
    if listens:
        end.bind("")
        end.listen()
    channel = BackendChannel(end.detach())
    with trio.fail_after(2), pytest.raises(FrontendError):
        await channel.tell(2)
    with trio.fail_after(2):
        await channel.run()
    channel.close()


async def test_what_nobody_has_asked_for_is_read_and_what_came_along_is_closed(ends: Ends) -> None:
    """Else a connection whose end is on its way here would never be seen to end."""
    one, other = socket.socketpair()
    with one:
        for _ in range(200):
            socket.send_fds(ends.theirs, [bytes(1000)], [other.fileno()])
            await trio.lowlevel.checkpoint()
        other.close()
        one.settimeout(5)
        assert await trio.to_thread.run_sync(one.recv, 1) == b""


async def test_a_closed_channel_is_no_longer_read(ends: Ends) -> None:
    with trio.fail_after(2):
        ends.channel.close()
        await ends.channel.run()
        with pytest.raises(FrontendError):
            await ends.channel.ask(2, b"")


async def test_a_channel_whose_flags_another_clears_keeps_nobody_waiting(ends: Ends) -> None:
    for _ in range(3):
        ends.shared.setblocking(True)
        with trio.fail_after(2):
            await trio.testing.wait_all_tasks_blocked(0.01)
        ends.theirs.send(b"unasked")
    ends.shared.setblocking(True)
    # More than there is room for.
    with trio.move_on_after(0.2) as scope:
        await ends.channel.ask(2, bytes(4 << 20))
    assert scope.cancelled_caught
