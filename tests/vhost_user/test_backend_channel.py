# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the back-end asks the front-end."""

import os
import socket
import struct
import time

import pytest
import trio

from vgpud.errors import FrontendError
from vgpud.vhost_user import backend_channel
from vgpud.vhost_user.backend_channel import BackendChannel


async def test_a_question_has_its_answer_and_carries_descriptors() -> None:
    ours, theirs = socket.socketpair()
    channel = BackendChannel(ours.detach())
    file = os.memfd_create("file")
    answers = []

    async def ask() -> None:
        answers.append(await channel.ask(2, b"payload", [file]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        data, descriptors, _, _ = socket.recv_fds(theirs, 100, 4)
        theirs.send(struct.pack("=3IQ", 2, 5, 8, 7))
    assert data == struct.pack("=3I", 2, 9, 7) + b"payload"
    assert answers == [7]
    os.close(descriptors[0])
    os.close(file)
    channel.close()
    theirs.close()


@pytest.mark.parametrize(
    "answer",
    [b"", bytes(20), struct.pack("=3IQ", 3, 5, 8, 0), struct.pack("=3IQ", 2, 1, 8, 0)],
    ids=["nothing, and gone", "zeros", "to another question", "no reply"],
)
async def test_a_wrong_answer_is_the_front_end_s_mistake(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = BackendChannel(ours.detach())
    theirs.send(answer)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(FrontendError):
        await channel.ask(2, b"")
    channel.close()
    theirs.close()


async def test_an_answer_that_never_comes_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = socket.socketpair()
    channel = BackendChannel(ours.detach())
    start = trio.current_time()
    with pytest.raises(FrontendError):
        await channel.ask(2, b"")
    assert trio.current_time() - start == pytest.approx(backend_channel.ANSWER_SECONDS)
    channel.close()
    theirs.close()


async def test_only_a_stream_socket_is_a_channel() -> None:
    for descriptor in (os.memfd_create("file"), socket.socket(type=socket.SOCK_DGRAM).detach()):
        with pytest.raises(FrontendError):
            BackendChannel(descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


async def test_a_channel_that_blocks_whoever_reads_it_holds_nobody_up() -> None:
    ours, theirs = socket.socketpair()
    with ours.dup() as shared:
        channel = BackendChannel(ours.detach())
        shared.setblocking(True)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 2, 0))
        begun = time.monotonic()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.ask, 2, b"")
            await trio.testing.wait_all_tasks_blocked(0.01)
            theirs.send(struct.pack("=3IQ", 2, 5, 8, 0))
        assert time.monotonic() - begun < 1
        channel.close()
    theirs.close()
