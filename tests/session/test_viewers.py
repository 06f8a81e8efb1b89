# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session and its view processes, which their viewers may have taken over."""

import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from vgpud.native import lib
from vgpud.session.devices import ViewProcess
from vgpud.session.viewers import VIEWERS_MAX, Viewers

RECORD = struct.Struct("=6I")
SECONDS = 5


class Views:
    """View processes whose other ends are the test's."""

    def __init__(self) -> None:
        self.channels: list[socket.socket] = []
        self.lives: list[int] = []
        self.ended = 0
        self.refuses = False

    async def start_view(self) -> ViewProcess:
        if self.refuses:
            raise OSError(errno.EAGAIN, "no")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        life, their_life = os.pipe()
        self.channels.append(theirs)
        self.lives.append(life)
        return ViewProcess(1, ours, their_life)

    def end_views(self) -> None:
        self.ended += 1

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
        for life in self.lives:
            os.close(life)


class Session:
    """What of a session viewers need."""

    def __init__(self) -> None:
        self.added = 0
        self.pixels: list[bool] = []
        self.viewers = Viewers(self._add, self._show_pixels)
        self.views = Views()

    def _add(self, channel: int) -> None:
        self.added += 1

    async def _show_pixels(self, pixels: bool) -> None:
        self.pixels.append(pixels)


@asynccontextmanager
async def session() -> AsyncIterator[tuple[Session, Callable[[], socket.socket]]]:
    """Yields a function that connects a viewer, and returns its end."""
    made = Session()
    ends: list[socket.socket] = []
    async with trio.open_nursery() as nursery:

        def come() -> socket.socket:
            ours, theirs = socket.socketpair()
            ends.append(ours)
            nursery.start_soon(made.viewers.serve, theirs, made.views)
            return ours

        with trio.fail_after(2 * SECONDS):
            yield made, come
        nursery.cancel_scope.cancel()
    made.viewers.close()
    made.views.close()
    for end in ends:
        end.close()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(SECONDS):
        while not condition():
            await trio.sleep(0.005)


def is_closed(end: socket.socket) -> bool:
    try:
        return end.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


async def test_a_viewer_is_given_to_a_process_and_to_the_presenter() -> None:
    async with session() as (made, come):
        end = come()
        await until(lambda: made.pixels == [True])
        data, descriptors, _, _ = socket.recv_fds(made.views.channels[0], 100, 1)
        assert RECORD.unpack(data) == (lib.VIEW_CONNECTION, 0, 0, 0, 0, 0)
        with socket.socket(fileno=descriptors[0]) as theirs:
            theirs.send(b"x")
            assert end.recv(1) == b"x"
        assert made.added == 1
        # It was passed on, and not kept.
        assert is_closed(end)


async def test_when_the_last_has_gone_everything_is_as_before() -> None:
    async with session() as (made, come):
        come()
        come()
        await until(lambda: made.pixels == [True, True])
        made.views.channels[0].close()
        await trio.sleep(0.05)
        assert made.views.ended == 0
        made.views.channels[1].close()
        await until(lambda: made.pixels == [True, True, False])
        assert made.views.ended == 1
        # Each process's life is over with it.
        assert all(os.read(life, 1) == b"" for life in made.views.lives)


@pytest.mark.parametrize("size", [1, RECORD.size - 1, RECORD.size + 1, 1000])
async def test_a_process_that_says_what_is_no_record_is_ended(size: int) -> None:
    async with session() as (made, come):
        come()
        await until(lambda: made.pixels == [True])
        made.views.channels[0].send(bytes(size))
        await until(lambda: made.views.ended == 1)


async def test_a_process_that_says_too_much_is_heard_as_fast_as_a_hand_is() -> None:
    async with session() as (made, come):
        come()
        await until(lambda: made.pixels == [True])
        channel = made.views.channels[0]
        channel.setblocking(False)
        said = 0
        with trio.move_on_after(0.5):
            while True:
                try:
                    channel.send(RECORD.pack(lib.VIEW_POINTER, said & 0xFF, 1, 2, 3, 4))
                    said += 1
                except BlockingIOError:
                    pass
                await trio.sleep(0)
        # What lies in the socket, and 64 records each 20 ms.
        assert said < 64 * 60 + 1000


async def test_one_too_many_is_turned_away() -> None:
    async with session() as (made, come):
        for _ in range(VIEWERS_MAX):
            come()
        await until(lambda: made.added == VIEWERS_MAX)
        end = come()
        await until(lambda: is_closed(end))
        assert made.added == VIEWERS_MAX
        assert made.views.ended == 0


async def test_without_a_process_a_viewer_is_turned_away_and_the_next_is_not() -> None:
    async with session() as (made, come):
        made.views.refuses = True
        end = come()
        await until(lambda: is_closed(end))
        made.views.refuses = False
        come()
        await until(lambda: made.added == 1)
