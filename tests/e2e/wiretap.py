# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Between QEMU and the daemon: passes every message on, and reads along on the display socket.

QEMU shows no cursor on a screendump, and to a viewer only where the host has a GPU; here it can be
seen anyway.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .cursor import Cursor

GPU_SET_SOCKET = 33
CURSOR_POS, CURSOR_POS_HIDE, CURSOR_UPDATE, SCANOUT, UPDATE = 4, 5, 6, 7, 8
CURSOR_SIDE = 64


@dataclass(frozen=True)
class Update:
    """A rectangle whose pixels the daemon has sent."""

    scanout_id: int
    x: int
    y: int
    width: int
    height: int


class Wiretap:
    """Listens on `socket_path` for one QEMU, and connects to the daemon for it."""

    def __init__(self, socket_path: Path, daemon_path: Path) -> None:
        self.socket_path = socket_path
        self.cursor = Cursor()
        self.updates: list[Update] = []
        self.display_sockets = 0
        self._daemon_path = daemon_path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(socket_path))
        self._listener.listen(1)
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for end in [self._listener, *self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for end in [self._listener, *self._ends]:
            end.close()

    def _start(self, function: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            qemu, _ = self._listener.accept()
            daemon = socket.socket(socket.AF_UNIX)
            self._ends += [qemu, daemon]
            daemon.connect(str(self._daemon_path))
            self._start(self._relay, daemon, qemu)
            self._relay_requests(qemu, daemon)

    def _relay_requests(self, qemu: socket.socket, daemon: socket.socket) -> None:
        """QEMU's requests, message by message: one of them brings the display socket."""
        with suppress(OSError):
            while (message := _receive(qemu)) is not None:
                data, descriptors = message
                if struct.unpack_from("=I", data)[0] == GPU_SET_SOCKET and descriptors:
                    descriptors = [self._tap_display(descriptors[0])]
                socket.send_fds(daemon, [data], descriptors)
                for descriptor in descriptors:
                    socket.close(descriptor)
        with suppress(OSError):
            daemon.shutdown(socket.SHUT_WR)

    def _tap_display(self, descriptor: int) -> int:
        """Keeps QEMU's display socket; returns what the daemon gets in its place."""
        self.display_sockets += 1
        qemu = socket.socket(fileno=descriptor)
        ours, daemons = socket.socketpair()
        self._ends += [qemu, ours]
        self._start(self._relay, qemu, ours)
        self._start(self._relay_display, ours, qemu)
        return daemons.detach()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        """Whatever comes, with its descriptors, until the source ends."""
        with suppress(OSError):
            while True:
                data, descriptors, _, _ = socket.recv_fds(source, 65536, 8)
                if not data:
                    break
                socket.send_fds(target, [data], descriptors)
                for descriptor in descriptors:
                    socket.close(descriptor)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _relay_display(self, daemon: socket.socket, qemu: socket.socket) -> None:
        """What the daemon shows."""
        with suppress(OSError):
            while (message := _receive(daemon)) is not None:
                data, descriptors = message
                self._note(struct.unpack_from("=I", data)[0], data[12:])
                socket.send_fds(qemu, [data[:65536]], descriptors)
                qemu.sendall(data[65536:])
        with suppress(OSError):
            qemu.shutdown(socket.SHUT_WR)

    def _note(self, request: int, payload: bytes) -> None:
        if request == UPDATE:
            self.updates.append(Update(*struct.unpack_from("=5I", payload)))
        elif request in (CURSOR_POS, CURSOR_POS_HIDE):
            _, x, y = struct.unpack("=3I", payload)
            self.cursor.move(x, y, request == CURSOR_POS)
        elif request == CURSOR_UPDATE:
            _, x, y, hot_x, hot_y = struct.unpack_from("=5I", payload)
            self.cursor.draw(CURSOR_SIDE, CURSOR_SIDE, hot_x, hot_y, payload[20:])
            self.cursor.move(x, y, True)


def _receive(source: socket.socket) -> tuple[bytes, list[int]] | None:
    """One message: header, payload, descriptors (they come with the header).  None at the end."""
    data, descriptors, _, _ = socket.recv_fds(source, 12, 8)
    data += _exactly(source, 12 - len(data)) if data else b""
    if len(data) < 12:
        return None
    size: int = struct.unpack_from("=I", data, 8)[0]
    return data + _exactly(source, size), descriptors


def _exactly(source: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            break
        data += more
    return bytes(data)
