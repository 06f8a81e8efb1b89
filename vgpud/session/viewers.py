# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Those who look at a machine's screen: each has a view process, which is given what the presenter copies for it.

What a viewer says is read by that process alone, and what that process says is believed to be keys and a pointer at most.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import trio
from loguru import logger

from vgpud.link import rights
from vgpud.native import ffi, lib
from vgpud.session.devices import ViewProcess

# As many as the presenter serves (OUTBOX_VIEWERS).
VIEWERS_MAX = 8
RECORD_BYTES = int(ffi.sizeof("struct view_record"))
# Of what a view process says: no hand is quicker.
RECORDS_AT_ONCE, RECORDS_SECONDS = 64, 0.02


class Views(Protocol):
    """Where view processes come from; ``OSError`` when there can be none."""

    async def start_view(self) -> ViewProcess: ...
    def end_views(self) -> None: ...


class Viewers:
    """``add`` has the presenter tell a channel what is shown, ``repaint`` the device process show it once more."""

    def __init__(self, add: Callable[[int], None], repaint: Callable[[], Awaitable[None]]) -> None:
        self._add = add
        self._repaint = repaint
        self._count = 0

    async def serve(self, connection: socket.socket, views: Views) -> None:
        """Until the viewer has gone; takes his connection."""
        with connection, self._counted(views) as there_is_room:
            if not there_is_room:
                logger.warning("a viewer is turned away: {} look on already", VIEWERS_MAX)
                return
            try:
                # Shielded, or there could be one that nobody knows of.
                with trio.CancelScope(shield=True):
                    process = await views.start_view()
            except OSError as error:
                logger.error(
                    "a viewer is turned away, for there is no process to serve him: {}", error
                )
                return
            logger.info("a viewer has come (process {view_process})", view_process=process.pid)
            try:
                await self._serve(process, connection)
            except OSError as error:
                logger.warning("a viewer is not served on: {}", error)
            finally:
                _end(process)
            logger.info("a viewer has gone (process {view_process})", view_process=process.pid)

    @contextmanager
    def _counted(self, views: Views) -> Iterator[bool]:
        self._count += 1
        try:
            yield self._count <= VIEWERS_MAX
        finally:
            self._count -= 1
            if not self._count:
                views.end_views()

    async def _serve(self, process: ViewProcess, connection: socket.socket) -> None:
        process.channel.sendmsg([_record(lib.VIEW_CONNECTION)], rights.pack([connection.fileno()]))
        # It is the viewer's and that process's from here on: its end is that one's to see.
        connection.close()
        self._add(process.channel.fileno())
        await self._repaint()
        with trio.socket.from_stdlib_socket(process.channel.dup()) as end:
            await _listen(end)


def _record(kind: int, value: int = 0) -> bytes:
    return bytes(ffi.buffer(ffi.new("struct view_record *", {"kind": kind, "value": value})))


async def _listen(end: trio.socket.SocketType) -> None:
    """Until the process has gone, or says what is no record."""
    while True:
        for _ in range(RECORDS_AT_ONCE):
            if len(await end.recv(RECORD_BYTES + 1)) != RECORD_BYTES:
                return
        await trio.sleep(RECORDS_SECONDS)


def _end(process: ViewProcess) -> None:
    # The presenter has a copy: it sees the end by this.
    process.channel.shutdown(socket.SHUT_RDWR)
    process.channel.close()
    os.close(process.life)
