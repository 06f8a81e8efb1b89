# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A display for QEMU's `-display dbus,p2p=on`: what a real viewer gets told, the cursor included, and what it may ask for.

The interfaces are QEMU's org.qemu.Display1 (its document "D-Bus display").  Each connection is peer to peer: no bus.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    new_method_call,
    new_method_return,
)
from jeepney.auth import Authenticator
from jeepney.low_level import Parser

from .picture import Picture

CONSOLE = "org.qemu.Display1.Console"


class _Peer:
    """One connection: authenticated, messages in both directions, descriptors only outwards."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(20)
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._authenticate()

    def _authenticate(self) -> None:
        authenticator = Authenticator(enable_fds=True)
        for request in authenticator:
            self._socket.sendall(request)
            authenticator.feed(self._socket.recv(1024))
        self._socket.sendall(b"BEGIN\r\n")

    def send(self, message: Message, descriptors: tuple[int, ...] = ()) -> int:
        serial = next(self._serials)
        data = message.serialise(serial, list(descriptors) if descriptors else None)
        if descriptors:
            socket.send_fds(self._socket, [data], descriptors)
        else:
            self._socket.sendall(data)
        return serial

    def receive(self) -> Message:
        while (message := self._parser.get_next_message()) is None:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError("QEMU closed the display's connection")
            self._parser.add_data(data)
        return message

    def wait_forever(self) -> None:
        self._socket.settimeout(None)

    def close(self) -> None:
        self._socket.close()


class DbusDisplay:
    """The viewer's connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._peer = _Peer(connection)

    def console(self, head: int = 0) -> DbusConsole:
        """Listens to one console: the screen of output `head`, when the machine has one GPU."""
        return DbusConsole(self, head)

    def call(
        self,
        head: int,
        method: str,
        signature: str,
        *arguments: Any,
        descriptors: tuple[int, ...] = (),
    ) -> None:
        address = DBusAddress(f"/org/qemu/Display1/Console_{head}", interface=CONSOLE)
        serial = self._peer.send(
            new_method_call(address, method, signature, arguments), descriptors
        )
        while True:
            answer = self._peer.receive()
            if answer.header.fields.get(HeaderFields.reply_serial) != serial:
                continue
            if answer.header.message_type is MessageType.error:
                raise RuntimeError(f"{method}: {answer.body}")
            return


@dataclass(frozen=True)
class Cursor:
    """A cursor's picture: a8r8g8b8, as QEMU hands it to a viewer."""

    width: int
    height: int
    hot_x: int
    hot_y: int
    pixels: bytes

    def pixel(self, x: int, y: int) -> tuple[int, int, int, int]:
        """Blue, green, red, alpha."""
        at = (y * self.width + x) * 4
        blue, green, red, alpha = self.pixels[at : at + 4]
        return blue, green, red, alpha


class DbusConsole:
    """What one console shows, kept up to date by a thread."""

    def __init__(self, display: DbusDisplay, head: int) -> None:
        self._display = display
        self._head = head
        self._changed = threading.Condition()
        self._pixels = bytearray()
        self._width = self._height = self._stride = 0
        self.cursor: Cursor | None = None
        self.cursor_position = (0, 0)
        self.cursor_visible = False
        self.updates: list[tuple[int, int, int, int]] = []
        """The rectangles that QEMU said had changed: x, y, width, height."""
        ours, theirs = socket.socketpair()
        with theirs:
            display.call(head, "RegisterListener", "h", 0, descriptors=(theirs.fileno(),))
        self._handlers: dict[str, Callable[..., None]] = {
            "Scanout": self._scanout,
            "Update": self._update,
            "Disable": self._disable,
            "MouseSet": self._mouse_set,
            "CursorDefine": self._cursor_define,
        }
        self._peer = _Peer(ours)
        self._peer.wait_forever()
        threading.Thread(target=self._listen, daemon=True).start()

    def picture(self) -> Picture:
        with self._changed:
            return Picture.from_xrgb(self._width, self._height, self._stride, bytes(self._pixels))

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = 10) -> None:
        """Until a condition on this console's state holds; it is looked at after every message."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(f"within {timeout:g} s the display never had {what}")

    def resize(self, width: int, height: int) -> None:
        """As a viewer does whose window has a new size; the guest may follow."""
        # Size in millimetres, position, size in pixels.
        self._display.call(
            self._head, "SetUIInfo", "qqiiuu", width // 4, height // 4, 0, 0, width, height
        )

    def _listen(self) -> None:
        try:
            while True:
                message = self._peer.receive()
                if message.header.message_type is MessageType.method_call:
                    self._answer(message)
        except (ConnectionError, OSError):
            return

    def _answer(self, message: Message) -> None:
        member = message.header.fields[HeaderFields.member]
        if member in ("GetAll", "Get"):
            # No optional interface: pixels in messages, no shared memory.
            body: Any = ({"Interfaces": ("as", [])},) if member == "GetAll" else (("as", []),)
            signature = "a{sv}" if member == "GetAll" else "v"
            self._peer.send(new_method_return(message, signature, body))
            return
        with self._changed:
            if member in self._handlers:
                self._handlers[member](*message.body)
            self._changed.notify_all()
        self._peer.send(new_method_return(message))

    def _scanout(self, width: int, height: int, stride: int, _format: int, data: bytes) -> None:
        self._width, self._height, self._stride = width, height, stride
        self._pixels = bytearray(data)

    def _update(
        self, x: int, y: int, width: int, height: int, stride: int, _format: int, data: bytes
    ) -> None:
        self.updates.append((x, y, width, height))
        for line in range(height):
            at = (y + line) * self._stride + x * 4
            self._pixels[at : at + width * 4] = data[line * stride : line * stride + width * 4]

    def _disable(self) -> None:
        self._width = self._height = self._stride = 0
        self._pixels = bytearray()

    def _mouse_set(self, x: int, y: int, visible: int) -> None:
        self.cursor_position = (x, y)
        self.cursor_visible = bool(visible)

    def _cursor_define(self, width: int, height: int, hot_x: int, hot_y: int, data: bytes) -> None:
        self.cursor = Cursor(width, height, hot_x, hot_y, bytes(data))
