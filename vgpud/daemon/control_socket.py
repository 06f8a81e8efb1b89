# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The control socket's serving side: what ``vgpuctl`` asks for, answered."""

import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

import trio
from loguru import logger

from vgpud import __version__
from vgpud.config.schema import LEVELS
from vgpud.control.protocol import (
    REQUEST_BYTES_MAX,
    ControlError,
    Fields,
    failure,
    read_request,
    result,
)
from vgpud.daemon.machines import Machines
from vgpud.daemon.reload import Current
from vgpud.link import rights

# Who asks is looked at once more than the file's permissions do: the file may be passed on.
_PEER = struct.Struct("3i")  # struct ucred: process, user, group
SO_PEERGROUPS = 59
PEERGROUPS_BYTES = 1024
CONNECTIONS_MAX = 16

Answer = tuple[Fields, list[int]]


class ControlSocket:
    """Answers requests on ``end``, which listens; ``group`` may ask beside our own user and root."""

    def __init__(self, current: Current, machines: Machines, group: int | None) -> None:
        self._current = current
        self._machines = machines
        self._group = group
        self._since = time.monotonic()
        self._connections = trio.CapacityLimiter(CONNECTIONS_MAX)
        self._commands: dict[str, Callable[..., Answer]] = {
            "status": self._status,
            "screen": self._screen,
            "log-level": self._set_log_level,
        }

    async def run(self, end: trio.socket.SocketType) -> None:
        """Never returns."""
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
        with connection:
            async with self._connections:
                # Whatever is wrong with one connection is no matter for the daemon.
                with suppress(OSError):
                    await self._converse(connection)

    async def _converse(self, connection: trio.socket.SocketType) -> None:
        if not may_ask(connection, self._group):
            await _send(connection, failure("you are not allowed to ask"), [])
            return
        rest = b""
        while (read := await _line(connection, rest)) is not None:
            line, rest = read
            try:
                fields, descriptors = self._answer(line)
            except ControlError as error:
                await _send(connection, failure(str(error)), [])
            else:
                await _send(connection, result(fields), descriptors)

    def _answer(self, line: bytes) -> Answer:
        if not line.endswith(b"\n"):
            raise ControlError(
                f"a request has at most {REQUEST_BYTES_MAX} bytes, and ends its line"
            )
        command, arguments = read_request(line)
        function = self._commands.get(command)
        if function is None:
            raise ControlError(f"there is no command {command}; {', '.join(self._commands)} are")
        try:
            return function(**arguments)
        except TypeError:
            raise ControlError(f"{command} has no such arguments: {', '.join(arguments)}") from None

    def _status(self) -> Answer:
        config = self._current.config
        return {
            "version": __version__,
            "pid": os.getpid(),
            "seconds": time.monotonic() - self._since,
            "mode": config.renderer.mode,
            "headless": config.display.headless,
            "log_level": config.log.level,
            "machines": self._machines.reports(),
        }, []

    def _screen(self, scanout: object = 0, machine: str | None = None) -> Answer:
        found = self._machines.find(machine)
        if found is None:
            raise ControlError("there is no machine" + (f" {machine}" if machine else ""))
        screen = found.screen(scanout) if isinstance(scanout, int) else None
        if screen is None:
            raise ControlError(f"scanout {scanout} shows nothing")
        shown, (width, height), image = screen
        return {**shown._asdict(), "image_width": width, "image_height": height}, [image]

    def _set_log_level(self, level: str = "") -> Answer:
        if level not in LEVELS:
            raise ControlError(f"there is no log level {level}; {', '.join(LEVELS)} are")
        self._current.set_log_level(level)
        logger.info("the log level is {}", level)
        return {"log_level": level}, []


def may_ask(connection: trio.socket.SocketType, group: int | None) -> bool:
    """Whether the peer is root, runs as our user, or belongs to the group."""
    _, user, own = _PEER.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    )
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


async def _send(connection: trio.socket.SocketType, line: bytes, descriptors: list[int]) -> None:
    sent = await connection.sendmsg([line], rights.pack(descriptors))
    while sent < len(line):
        sent += await connection.send(line[sent:])
