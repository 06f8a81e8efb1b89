# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The viewers of a machine's screen: each has a view process, which gets what the presenter copies
for it. Only that process reads what a viewer sends, and all that it can pass on are keys and the
pointer.  Only the session holds QMP, which controls all of QEMU.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from struct import Struct
from typing import Protocol

import trio
from loguru import logger

from vgpud.link import rights
from vgpud.link.limited_log import LimitedLog
from vgpud.native import lib
from vgpud.session.devices import ViewProcess
from vgpud.session.input import Input, Record
from vgpud.session.keys import Strokes, strokes_of
from vgpud.session.qmp import Qmp
from vgpud.tree.keyboard import Typed

# As many as the presenter serves (OUTBOX_VIEWERS).
VIEWERS_MAX = 8
RECORD = Struct(f"={len(Record._fields)}I")  # struct view_record
# How many records a view process may send: no hand is quicker.
RECORDS_AT_ONCE, RECORDS_SECONDS = 64, 0.02
# How long releasing a viewer's keys may take when it has gone.
RELEASE_SECONDS = 0.3


class Views(Protocol):
    """Where view processes come from; ``OSError`` when there can be none."""

    async def start_view(self) -> ViewProcess: ...
    def end_views(self) -> None: ...


class Viewers:
    """``add`` has the presenter serve a view channel; ``show_pixels`` has the device process show
    everything again, as pixels while there are viewers.  ``count`` is how many there are.
    """

    def __init__(
        self, add: Callable[[int], None], show_pixels: Callable[[bool], Awaitable[None]]
    ) -> None:
        self._add = add
        self._show_pixels = show_pixels
        self.count = 0
        self._held: socket.socket | None = None
        self._qmp: Qmp | None = None
        self._strokes: Strokes = {}
        self._complain = LimitedLog(partial(logger.warning, "{}")).write

    def close(self) -> None:
        """Called when no viewer is served any more."""
        self._let_go_of_qmp()

    # --- QMP

    def hold_qmp(self, end: socket.socket, layout: Iterable[Typed]) -> None:
        """Takes a socket that is about to be connected to QMP; only this session uses it."""
        if self._held is not None:
            self._held.close()
        end.setblocking(False)
        self._held = end
        self._strokes = strokes_of(layout)

    def use_qmp(self, connected: bool) -> None:
        """The held socket is connected, or will not be.  A connection that works already stays in
        use.
        """
        held, self._held = self._held, None
        if held is None:
            return
        if connected and not self._input_works:
            self._qmp = Qmp(held)
        else:
            held.close()

    @property
    def _input_works(self) -> bool:
        return self._qmp is not None and self._qmp.alive

    def _let_go_of_qmp(self) -> None:
        """Hangs up, so that others can use it: QEMU serves one connection at a time."""
        self.use_qmp(False)
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None

    # --- viewers

    async def serve(self, connection: socket.socket, views: Views) -> None:
        """Serves a viewer until it has gone; takes its connection."""
        with connection, self._counted() as there_is_room:
            if there_is_room:
                await self._serve_by(views, connection)
            else:
                logger.warning("a viewer is turned away: there are {} already", VIEWERS_MAX)
        if not self.count:
            self._let_go_of_qmp()
            views.end_views()
            await self._show_pixels(False)

    @contextmanager
    def _counted(self) -> Iterator[bool]:
        self.count += 1
        try:
            yield self.count <= VIEWERS_MAX
        finally:
            self.count -= 1

    async def _serve_by(self, views: Views, connection: socket.socket) -> None:
        try:
            # Shielded, or there could be one that nobody knows of.
            with trio.CancelScope(shield=True):
                process = await views.start_view()
        except OSError as error:
            logger.error("a viewer is turned away: no process can be started for it: {}", error)
            return
        logger.info(
            "a viewer has connected (process {view_process}){limit}",
            view_process=process.pid,
            limit="" if self._input_works else ", which can only look",
        )
        try:
            await self._serve(process, connection)
        except OSError as error:
            logger.warning("a viewer is no longer served: {}", error)
        finally:
            _end(process)
        logger.info("a viewer has left (process {view_process})", view_process=process.pid)

    async def _serve(self, process: ViewProcess, connection: socket.socket) -> None:
        qmp = self._qmp if self._input_works else None
        first = _record(lib.VIEW_CONNECTION, int(qmp is not None))
        process.channel.sendmsg([first], rights.pack([connection.fileno()]))
        # From here on only the view process has the connection, and sees its end.
        connection.close()
        self._add(process.channel.fileno())
        await self._show_pixels(True)
        with trio.socket.from_stdlib_socket(process.channel.dup()) as end:
            if qmp is None:
                await _listen(end, _ignore)
            else:
                await self._serve_input(end, Input(qmp, self._strokes, self._complain))

    async def _serve_input(self, end: trio.socket.SocketType, input: Input) -> None:
        try:
            await _listen(end, input.take)
        finally:
            with trio.move_on_after(RELEASE_SECONDS, shield=True):
                await input.release_all()


def _record(kind: int, value: int = 0) -> bytes:
    return RECORD.pack(kind, value, 0, 0, 0, 0)


async def _listen(end: trio.socket.SocketType, take: Callable[[Record], Awaitable[None]]) -> None:
    """Takes records until the process has gone, or sends something that is not a record."""
    while True:
        for _ in range(RECORDS_AT_ONCE):
            data = await end.recv(RECORD.size + 1)
            if len(data) != RECORD.size:
                return
            await take(Record(*RECORD.unpack(data)))
        await trio.sleep(RECORDS_SECONDS)


async def _ignore(record: Record) -> None:
    """Without QMP records are dropped."""


def _end(process: ViewProcess) -> None:
    # The presenter has a copy of the channel, and sees the end by this.
    process.channel.shutdown(socket.SHUT_RDWR)
    process.channel.close()
    os.close(process.life)
