# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the daemon orders a session to do: one function for each message, in a table."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import trio

from vgpud.control import serving
from vgpud.control.protocol import ControlError
from vgpud.session import logs
from vgpud.session.client_requests import Commands
from vgpud.session.daemon_link import DaemonLink
from vgpud.session.devices import SpawnedDevices
from vgpud.session.session import Session
from vgpud.session.turned_away import discard
from vgpud.tree.messages import (
    AskReport,
    CloseConnection,
    HoldQmp,
    Ping,
    Pong,
    ServeClient,
    ServeViewer,
    SetLogLevel,
    Stop,
    UseSpawner,
)

CLIENTS_MAX = 16


class _Asked(NamedTuple):
    """The session that questions are about, and the nursery in which they are answered."""

    session: Session
    nursery: trio.Nursery


class Orders:
    """``life`` is the scope that ends with the session."""

    def __init__(self, nursery: trio.Nursery, daemon: DaemonLink, devices: SpawnedDevices) -> None:
        self.life = trio.CancelScope()
        self._nursery = nursery
        self._daemon = daemon
        self._devices = devices
        self._clients = trio.CapacityLimiter(CLIENTS_MAX)
        self._asked: _Asked | None = None
        self._table: dict[type[Any], Callable[[Any, list[int]], None]] = {
            AskReport: self._ask_report,
            Ping: self._ping,
            ServeClient: self._serve_client,
            HoldQmp: self._hold_qmp,
            ServeViewer: self._serve_viewer,
            CloseConnection: self._close_connection,
            SetLogLevel: self._set_log_level,
            UseSpawner: self._use_spawner,
            Stop: self._stop,
        }

    @contextmanager
    def about(self, session: Session, nursery: trio.Nursery) -> Iterator[None]:
        """Makes questions be about this session, until the context ends; orders may come before and
        after.
        """
        self._asked = _Asked(session, nursery)
        try:
            yield
        finally:
            self._asked = None

    def carry_out(self, message: Any, descriptors: list[int]) -> None:
        """Takes the descriptors that are kept out of the list."""
        self._table[type(message)](message, descriptors)

    def _ask_report(self, message: AskReport, descriptors: list[int]) -> None:
        if self._asked is not None:
            self._daemon.report(self._asked.session.report(message.serial))

    def _ping(self, message: Ping, descriptors: list[int]) -> None:
        self._daemon.report(Pong(message.serial))

    def _serve_client(self, message: ServeClient, descriptors: list[int]) -> None:
        connection = socket.socket(fileno=descriptors.pop())
        nursery = self._nursery if self._asked is None else self._asked.nursery
        nursery.start_soon(self._reply, connection, message.request)

    async def _reply(self, connection: socket.socket, request: str) -> None:
        with trio.socket.from_stdlib_socket(connection) as end, suppress(OSError):
            async with self._clients:
                answering = self._answer(request.encode() + b"\n")
                await serving.reply(end, answering)

    async def _answer(self, line: bytes) -> serving.Answer:
        if self._asked is None:
            raise ControlError("the machine has not started yet, or has left")
        return await Commands(self._asked.session).answer(line)

    def _hold_qmp(self, message: HoldQmp, descriptors: list[int]) -> None:
        qmp = socket.socket(fileno=descriptors.pop())
        if self._asked is None:
            qmp.close()
            return
        self._asked.session.viewers.hold_qmp(qmp, message.layout)

    def _serve_viewer(self, message: ServeViewer, descriptors: list[int]) -> None:
        connection = socket.socket(fileno=descriptors.pop())
        if self._asked is None:
            connection.close()
            return
        viewers = self._asked.session.viewers
        viewers.use_qmp(message.qmp)
        self._asked.nursery.start_soon(viewers.serve, connection, self._devices)

    def _close_connection(self, message: CloseConnection, descriptors: list[int]) -> None:
        discard(socket.socket(fileno=descriptors.pop()))

    def _set_log_level(self, message: SetLogLevel, descriptors: list[int]) -> None:
        logs.set_up(message.level)

    def _use_spawner(self, message: UseSpawner, descriptors: list[int]) -> None:
        grants, wishes = descriptors
        descriptors.clear()
        self._devices.use(socket.socket(fileno=grants), wishes)
        if self._asked is not None:
            self._asked.session.revive()

    def _stop(self, message: Stop, descriptors: list[int]) -> None:
        self.life.cancel()
