# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The session's end of the links to the daemon, if there is one."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import trio

from vgpud.link import rights
from vgpud.link.fields import LinkError
from vgpud.tree import codec
from vgpud.tree.messages import TO_SESSION, Hello

Handler = Callable[[Any, list[int]], None]
# How many reports may be under way; if one more is asked for, the daemon does not read.
UNREAD_MAX = 8
LAST_WORDS_SECONDS = 0.2


class DaemonLink:
    """Orders go to a handler, which takes the descriptors that it keeps out of the list; reports
    are sent when the daemon takes them.  ``since`` is when the session started, by
    time.monotonic(), ``user`` whom it serves, ``name`` the machine's name.
    """

    def __init__(self, nursery: trio.Nursery, since: float, user: int, name: str) -> None:
        self._nursery = nursery
        self._since = since
        self._user = user
        self._name = name
        self._sender = 0
        self._scope = trio.CancelScope()
        self._reports: trio.MemorySendChannel[bytes] | None = None
        self._written = trio.Event()

    def use(self, orders: socket.socket, reports: int, handler: Handler) -> None:
        """Uses this daemon's links from now on; takes both."""
        self._scope.cancel()
        self._scope = trio.CancelScope()
        self._reports, outgoing = trio.open_memory_channel[bytes](UNREAD_MAX)
        self._written = trio.Event()
        serving = _Serving(orders, reports, handler, outgoing, self._scope, self._written)
        self._nursery.start_soon(_serve, serving)

    def report(self, message: Any) -> None:
        """Sends a report, which is lost when nobody reads it."""
        if self._reports is not None:
            with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                self._reports.send_nowait(codec.encode(message))

    async def flush(self) -> None:
        """Waits a moment until the daemon has taken the last reports."""
        if self._reports is not None:
            self._reports.close()
            with trio.move_on_after(LAST_WORDS_SECONDS):
                await self._written.wait()

    def say_hello(self, sender: int | None = None) -> None:
        """Tells the daemon who sent the front-end's first message, once that is known."""
        self._sender = self._sender if sender is None else sender
        milliseconds = int((time.monotonic() - self._since) * 1000)
        self.report(Hello(self._sender, self._user, milliseconds, self._name))


class _Serving(NamedTuple):
    """One daemon's links, until it dies or ``scope`` is cancelled for the next."""

    orders: socket.socket
    reports: int
    handler: Handler
    outgoing: trio.MemoryReceiveChannel[bytes]
    scope: trio.CancelScope
    written: trio.Event


async def _serve(daemon: _Serving) -> None:
    with trio.socket.from_stdlib_socket(daemon.orders) as end, daemon.scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write, daemon)
            await _read(end, daemon.handler)
            # The daemon has died; the next one will come.
            nursery.cancel_scope.cancel()


async def _read(end: trio.socket.SocketType, handler: Handler) -> None:
    while True:
        try:
            packet = await end.recvmsg(
                codec.PACKET_BYTES, codec.ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
            received = codec.read_packet(packet, TO_SESSION)
        except (ConnectionResetError, LinkError):
            return
        if received is None:
            return
        message, descriptors = received
        try:
            handler(message, descriptors)
        finally:
            rights.close(descriptors)


async def _write(daemon: _Serving) -> None:
    try:
        async with daemon.outgoing:
            async for line in daemon.outgoing:
                await _write_whole(daemon.reports, line)
    except BrokenPipeError:
        return
    finally:
        os.close(daemon.reports)
        daemon.written.set()


async def _write_whole(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(descriptor)
