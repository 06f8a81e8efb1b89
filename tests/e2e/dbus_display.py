# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A viewer for QEMU's `-display dbus,p2p=on`: what it is told, the cursor included, and what it may ask for.

The interfaces are QEMU's org.qemu.Display1 (its document "D-Bus display").  Each connection is peer to peer: no bus.

A vhost-user GPU wants viewers that take DMABUFs, which need a GPU on the host: `console` ends a QEMU that has one.  `resize` works
with every device.
"""

from __future__ import annotations

import array
import itertools
import socket
import threading
from contextlib import suppress
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

from .cursor import Cursor

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

    def send(self, message: Message) -> int:
        serial = next(self._serials)
        descriptors = array.array("i")  # Filled from the arguments of type h.
        data = message.serialise(serial, descriptors)
        socket.send_fds(self._socket, [data], descriptors)
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
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # Wakes whoever reads.
        self._socket.close()


class DbusDisplay:
    """The viewer's connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._peer = _Peer(connection)
        self._consoles: list[DbusConsole] = []

    def console(self, head: int = 0) -> DbusConsole:
        """Listens to one console: the screen of output `head`, when the machine has one GPU."""
        console = DbusConsole(self, head)
        self._consoles.append(console)
        return console

    def resize(self, width: int, height: int, head: int = 0) -> None:
        """As a viewer does whose window has a new size; the guest may follow."""
        millimetres = (width // 4, height // 4)
        position = (0, 0)
        self.call(head, "SetUIInfo", "qqiiuu", *millimetres, *position, width, height)

    def close(self) -> None:
        for console in self._consoles:
            console.close()
        self._peer.close()

    def call(self, head: int, method: str, signature: str, *arguments: Any) -> None:
        path = f"/org/qemu/Display1/Console_{head}"
        # Without a bus nobody looks at the name.
        address = DBusAddress(path, bus_name="org.qemu", interface=CONSOLE)
        serial = self._peer.send(new_method_call(address, method, signature, arguments))
        while True:
            answer = self._peer.receive()
            if answer.header.fields.get(HeaderFields.reply_serial) != serial:
                continue
            if answer.header.message_type is MessageType.error:
                raise RuntimeError(f"{method}: {answer.body}")
            return


class DbusConsole:
    """The cursor of one console, kept up to date by a thread."""

    def __init__(self, display: DbusDisplay, head: int) -> None:
        self.cursor = Cursor()
        ours, theirs = socket.socketpair()
        with theirs:
            display.call(head, "RegisterListener", "h", theirs.fileno())
        self._peer = _Peer(ours)
        self._peer.wait_forever()
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._peer.close()

    def _listen(self) -> None:
        with suppress(ConnectionError, OSError):
            while True:
                message = self._peer.receive()
                if message.header.message_type is MessageType.method_call:
                    self._answer(message)

    def _answer(self, message: Message) -> None:
        member = message.header.fields[HeaderFields.member]
        if member == "GetAll":
            # No optional interface: pixels in messages, no shared memory.
            properties: dict[str, Any] = {"Interfaces": ("as", [])}
            self._peer.send(new_method_return(message, "a{sv}", (properties,)))
            return
        if member == "MouseSet":
            self.cursor.move(*message.body)
        elif member == "CursorDefine":
            self.cursor.draw(*message.body)
        self._peer.send(new_method_return(message))
