# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The control socket's serving side: who may ask, one line after another, and an answer to each."""

import os
import socket
import struct
from contextlib import suppress

import trio
from loguru import logger

from vgpud.control import serving
from vgpud.control.protocol import REQUEST_BYTES_MAX, failure
from vgpud.daemon.client_requests import Commands
from vgpud.link.credentials import peer_of

# Who asks is looked at once more than the file's permissions do: the file may be passed on.
SO_PEERGROUPS = 59
PEERGROUPS_BYTES = 1024
CONNECTIONS_MAX = 16


class ControlSocket:
    """Answers by ``commands``; ``group`` may ask beside our own user and root."""

    def __init__(self, commands: Commands, group: int | None) -> None:
        self._commands = commands
        self._group = group
        # Who has said nothing for longest comes first.
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
        # Whatever is wrong with one connection is no matter for the daemon.
        with connection, suppress(OSError):
            if not may_ask(connection, self._group):
                await serving.send(connection, failure("you are not allowed to ask"), [])
                return
            with trio.CancelScope() as scope:
                self._make_room()
                self._conversations[connection] = scope
                try:
                    await self._converse(connection)
                finally:
                    del self._conversations[connection]

    def _make_room(self) -> None:
        """Those who are silent, or do not read, keep nobody out."""
        spare = len(self._conversations) - CONNECTIONS_MAX + 1
        for scope in list(self._conversations.values())[: max(0, spare)]:
            scope.cancel()

    async def _converse(self, connection: trio.socket.SocketType) -> None:
        rest = b""
        while (read := await _line(connection, rest)) is not None:
            self._conversations[connection] = self._conversations.pop(connection)
            line, rest = read
            if not await serving.reply(
                connection, self._commands.answer(connection.fileno(), line)
            ):
                return


def may_ask(connection: trio.socket.SocketType, group: int | None) -> bool:
    """Whether the peer is root, runs as our user, or belongs to the group."""
    _, user, own = peer_of(connection)
    if user in (0, os.geteuid()):
        return True
    if group is None:
        return False
    # OSError, and no answer, for a peer in more groups than Python can hear of.
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
