# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Requests and their descriptors from a socket, however they are cut."""

import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from vgpud.errors import FrontendError
from vgpud.vhost_user.framing import Connection

from ..driver.protocol import send_message


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Ends:
    def __init__(self) -> None:
        self.theirs, ours = socket.socketpair()
        self.shared = ours.dup()
        self.connection = Connection(trio.socket.from_stdlib_socket(ours))

    def close(self) -> None:
        self.theirs.close()
        self.shared.close()
        self.connection.close()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """Whatever happened, no descriptor stays open."""
    before = open_descriptors()
    ends = Ends()
    yield ends
    ends.close()
    assert open_descriptors() == before


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = os.memfd_create("file")
    yield descriptor
    os.close(descriptor)


async def test_each_descriptor_comes_with_the_request_that_it_was_sent_with(
    ends: Ends, file: int
) -> None:
    send_message(ends.theirs, 1, 1)
    send_message(ends.theirs, 12, 1, bytes(8), (file,))
    send_message(ends.theirs, 3, 1)
    send_message(ends.theirs, 5, 1, bytes(8), (file, file))
    counts = []
    for _ in range(4):
        message = await ends.connection.receive()
        assert message is not None
        with message:
            counts.append((message.request, len(message.payload), len(message.descriptors)))
    assert counts == [(1, 0, 0), (12, 8, 1), (3, 0, 0), (5, 8, 2)]


async def test_a_descriptor_that_is_taken_stays_open(ends: Ends, file: int) -> None:
    send_message(ends.theirs, 5, 1, b"", (file, file))
    message = await ends.connection.receive()
    assert message is not None
    with message:
        taken = message.descriptors.pop()
    os.fstat(taken)
    os.close(taken)


async def test_a_request_may_come_byte_by_byte(ends: Ends, file: int) -> None:
    data = struct.pack("=3IQ", 2, 9, 8, 77)

    async def trickle() -> None:
        socket.send_fds(ends.theirs, [data[:1]], [file])
        for byte in data[1:]:
            await trio.sleep(0)
            ends.theirs.send(bytes([byte]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        message = await ends.connection.receive()
    assert message is not None
    with message:
        assert (message.request, message.payload) == (2, data[12:])
        assert message.needs_reply
        assert len(message.descriptors) == 1


async def test_an_end_between_requests_is_the_end(ends: Ends) -> None:
    ends.theirs.close()
    assert await ends.connection.receive() is None


@pytest.mark.parametrize("length", [1, 11, 12, 15])
async def test_an_end_within_a_request_is_an_error(ends: Ends, file: int, length: int) -> None:
    socket.send_fds(ends.theirs, [struct.pack("=3IQ", 2, 1, 8, 0)[:length]], [file])
    ends.theirs.close()
    with pytest.raises(FrontendError):
        await ends.connection.receive()


async def test_a_huge_request_is_refused_before_any_of_it_is_read(ends: Ends, file: int) -> None:
    socket.send_fds(ends.theirs, [struct.pack("=3I", 5, 1, 2**32 - 1)], [file])
    with trio.fail_after(1), pytest.raises(FrontendError):
        await ends.connection.receive()


async def test_descriptors_in_the_middle_of_a_request_do_not_stay_open(
    ends: Ends, file: int
) -> None:
    ends.theirs.send(struct.pack("=3I", 2, 1, 8))
    socket.send_fds(ends.theirs, [bytes(8)], [file])
    message = await ends.connection.receive()
    assert message is not None
    with message:
        assert message.descriptors == []


async def test_more_descriptors_than_belong_to_any_request_are_received_and_closed(
    ends: Ends, file: int
) -> None:
    socket.send_fds(ends.theirs, [struct.pack("=3I", 2, 1, 0)], [file] * 253)
    message = await ends.connection.receive()
    assert message is not None
    with message:
        assert len(message.descriptors) == 253


async def test_being_cancelled_within_a_request_leaves_no_descriptor_open(
    ends: Ends, file: int
) -> None:
    socket.send_fds(ends.theirs, [b"abc"], [file])
    with trio.move_on_after(0.01):
        await ends.connection.receive()


async def test_a_reply_to_a_front_end_that_has_gone_is_no_error(ends: Ends) -> None:
    ends.theirs.close()
    await ends.connection.reply(1, bytes(8))


async def test_a_hang_up_is_noticed_while_there_is_something_to_read(ends: Ends) -> None:
    ends.theirs.send(bytes(12))
    ends.theirs.close()
    with trio.fail_after(1):
        await ends.connection.hung_up()


async def test_who_may_still_read_replies_has_not_hung_up(ends: Ends) -> None:
    ends.theirs.send(bytes(12))
    ends.theirs.shutdown(socket.SHUT_WR)
    with trio.move_on_after(0.1) as waiting:
        await ends.connection.hung_up()
    assert waiting.cancelled_caught


async def test_a_connection_whose_flags_another_clears_keeps_nobody_waiting(ends: Ends) -> None:
    """O_NONBLOCK is the open file's, and who has made a pair of sockets may have kept both."""
    for begun in (b"", bytes(3), struct.pack("=3I", 2, 1, 8)):
        ends.shared.setblocking(True)
        ends.theirs.send(begun)
        with trio.move_on_after(0.1) as reading:
            await ends.connection.receive()
        assert reading.cancelled_caught
        ends.theirs.send(bytes(100))
        ends.shared.recv(200, socket.MSG_DONTWAIT)
    ends.shared.setblocking(True)
    with trio.move_on_after(0.1) as writing:
        await ends.connection.reply(1, bytes(4 << 20))
    assert writing.cancelled_caught
