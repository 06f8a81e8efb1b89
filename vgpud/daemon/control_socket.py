# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The control socket's serving side: who may ask, one line after another, and an answer to each."""

import os
import socket
import struct
from contextlib import suppress

import trio
from loguru import logger

from vgpud.control import serving
from vgpud.control.protocol import (
    EVENTS,
    REQUEST_BYTES_MAX,
    ControlError,
    event,
    failure,
    read_request,
    result,
)
from vgpud.daemon.client_requests import Commands
from vgpud.daemon.events import Follower
from vgpud.link.credentials import peer_of

# The client is checked again, beyond the file's permissions: a connected descriptor may be passed
# on.
SO_PEERGROUPS = 59
PEERGROUPS_BYTES = 1024
CONNECTIONS_MAX = 16


class ControlSocket:
    """Answers by ``commands``; ``group`` may ask as well as our own user and root."""

    def __init__(self, commands: Commands, group: int | None) -> None:
        self._commands = commands
        self._group = group
        # Clients that have been silent for longest come first.
        self._conversations: dict[trio.socket.SocketType, trio.CancelScope] = {}

    async def run(self, end: trio.socket.SocketType) -> None:
        """Serves ``end``, which listens; never returns."""
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    connection, _ = await end.accept()
                except OSError as error:
                    logger.error("nobody can be accepted on the control socket: {}", error)
                    await trio.sleep(0.5)
                    continue
                nursery.start_soon(self._serve, connection)

    async def _serve(self, connection: trio.socket.SocketType) -> None:
        # A failure of one connection must not affect the daemon.
        with connection, suppress(OSError):
            if not may_ask(connection, self._group):
                await serving.send(connection, failure("you are not allowed to ask"), [])
                return
            with trio.CancelScope() as scope:
                self._make_room()
                self._conversations[connection] = scope
                try:
                    follows = await self._converse(connection)
                finally:
                    del self._conversations[connection]
                if follows:
                    # A follower is silent, which is right; Events has its own rule for making room.
                    await self._follow(connection)

    def _make_room(self) -> None:
        """Clients that are silent, or do not read, must not keep others out."""
        spare = len(self._conversations) - CONNECTIONS_MAX + 1
        for scope in list(self._conversations.values())[: max(0, spare)]:
            scope.cancel()

    async def _converse(self, connection: trio.socket.SocketType) -> bool:
        """Answers until the connection ends or asks for events."""
        rest = b""
        while (read := await _line(connection, rest)) is not None:
            self._conversations[connection] = self._conversations.pop(connection)
            line, rest = read
            if _asks_for_events(line):
                return True
            if not await serving.reply(
                connection, self._commands.answer(connection.fileno(), line)
            ):
                return False
        return False

    async def _follow(self, connection: trio.socket.SocketType) -> None:
        follower, events = Follower(), self._commands.events
        try:
            await events.follow(follower)
            await serving.send(connection, result({}), [])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_wait_for_end, connection, nursery.cancel_scope)
                with follower.scope:
                    await _tell(connection, follower)
                nursery.cancel_scope.cancel()
        except ControlError as error:
            await serving.send(connection, failure(str(error)), [])
        finally:
            events.leave(follower)


def _asks_for_events(line: bytes) -> bool:
    with suppress(ControlError):
        command, arguments = read_request(line)
        return command == EVENTS and not arguments
    return False


async def _tell(connection: trio.socket.SocketType, follower: Follower) -> None:
    with suppress(OSError):  # it has left
        while True:
            await serving.send(connection, event(await follower.next()), [])


async def _wait_for_end(connection: trio.socket.SocketType, following: trio.CancelScope) -> None:
    """A follower has nothing more to send: whatever comes now ends the connection."""
    with suppress(OSError):
        await connection.recv(1)
    following.cancel()


def may_ask(connection: trio.socket.SocketType, group: int | None) -> bool:
    """Whether the peer is root, runs as our user, or belongs to the group."""
    _, user, own = peer_of(connection)
    if user in (0, os.geteuid()):
        return True
    if group is None:
        return False
    # OSError, and so no answer, for a peer in more groups than Python can ask for.
    groups = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, PEERGROUPS_BYTES)
    return group in (own, *struct.unpack(f"{len(groups) // 4}I", groups))


async def _line(connection: trio.socket.SocketType, begun: bytes) -> tuple[bytes, bytes] | None:
    """The next line, or as much of it as is allowed, and what follows; None when the peer leaves."""
    data = begun
    while b"\n" not in data and len(data) < REQUEST_BYTES_MAX:
        part = await connection.recv(REQUEST_BYTES_MAX)
        if not part:
            return None
        data += part
    line, newline, rest = data.partition(b"\n")
    return line + newline, rest
