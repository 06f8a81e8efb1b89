# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m tests.vtest.bridge --backend SOCKET``: a vtest server whose renderer is a vhost-user-gpu backend.

    GALLIUM_DRIVER=virpipe LIBGL_ALWAYS_SOFTWARE=1 glmark2-es2 --off-screen

Like virgl_test_server it serves each client from a process of its own, which is a virtual machine of its own to the
backend: clients choose the numbers of their resources themselves.
"""

import argparse
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.driver.commands_3d import Resource3D
from tests.vtest.guest import Driver
from tests.vtest.protocol import (
    VERSION,
    WORD,
    Client,
    ProtocolError,
    ResourceCreate2,
    Vcmd,
)

# Where struct virgl_caps_v2 has capability_bits, and of these VIRGL_CAP_ARB_BUFFER_STORAGE: for that Mesa 23 and newer want
# memory of the host's, which version 2 has not; a kernel's driver takes the bit away too where there is none.
CAPABILITY_BITS, ARB_BUFFER_STORAGE = 392, 1 << 31
DEFAULT_SOCKET = Path("/tmp/.virgl_test")  # where Mesa looks


class Session:
    """One client and its machine."""

    def __init__(self, client: Client, driver: Driver) -> None:
        self.client = client
        self.driver = driver
        self.name = ""
        self.handlers: dict[int, Callable[[int], None]] = {
            Vcmd.GET_CAPS: lambda length: self._capset(1),
            Vcmd.GET_CAPS2: lambda length: self._capset(2),
            Vcmd.CREATE_RENDERER: self._create_renderer,
            Vcmd.PING_PROTOCOL_VERSION: lambda length: client.send(Vcmd.PING_PROTOCOL_VERSION),
            Vcmd.PROTOCOL_VERSION: self._protocol_version,
            Vcmd.RESOURCE_CREATE2: self._resource_create2,
            Vcmd.RESOURCE_UNREF: self._resource_unref,
        }

    def run(self) -> None:
        """Until the client goes."""
        while (message := self.driver.run()) is not None:
            length, command = message
            handler = self.handlers.get(command)
            if handler is None:
                raise ProtocolError(f"command {command} of {length} words")
            handler(length)
        count, last = self.driver.errors()
        if count:
            sys.stderr.write(f"{self.name}: {count} commands failed, the last with {last:#x}\n")

    def _capset(self, capset_id: int) -> None:
        data = bytearray(self.driver.capset(capset_id))
        if len(data) >= CAPABILITY_BITS + WORD:
            (bits,) = struct.unpack_from("=I", data, CAPABILITY_BITS)
            struct.pack_into("=I", data, CAPABILITY_BITS, bits & ~ARB_BUFFER_STORAGE)
        # The length is one of bytes, and one too many: so it has always been.
        self.client.send(capset_id, data, length=len(data) + 1)

    def _create_renderer(self, length: int) -> None:
        name = bytes(self.client.receive(length)).rstrip(b"\0")
        self.name = name.decode(errors="replace")
        self.driver.create_context(name)

    def _protocol_version(self, length: int) -> None:
        (wanted,) = self.client.receive_words(1)
        if wanted < VERSION:
            raise ProtocolError(f"the client has version {wanted} only")
        self.client.send(Vcmd.PROTOCOL_VERSION, VERSION.to_bytes(WORD, sys.byteorder))

    def _resource_create2(self, length: int) -> None:
        command = ResourceCreate2(*self.client.receive_words(len(ResourceCreate2._fields)))
        resource = Resource3D(*command[1:-1])
        fd = self.driver.create(command.res_handle, resource, command.data_size)
        if fd >= 0:
            self.client.send_descriptor(fd)

    def _resource_unref(self, length: int) -> None:
        (res_handle,) = self.client.receive_words(1)
        self.driver.unref(res_handle)


def serve(connection: socket.socket, options: argparse.Namespace) -> None:
    """One client, until it goes."""
    driver = Driver(options.backend, connection, mirrored=options.mirrored)
    try:
        Session(Client(connection), driver).run()
    finally:
        driver.close()


def serve_apart(connection: socket.socket, options: argparse.Namespace) -> None:
    """In a process of its own, which nobody waits for."""
    if os.fork() != 0:
        return
    status = 0
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        serve(connection, options)
    except Exception:
        traceback.print_exc()
        status = 1
    os._exit(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=Path, default=DEFAULT_SOCKET, help="vtest's own socket")
    parser.add_argument("--backend", type=Path, required=True, help="the backend's socket")
    parser.add_argument(
        "--mirrored", action="store_true", help="copies of buffers, as when slots are short"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    arguments.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(arguments.socket))
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                serve_apart(connection, arguments)


if __name__ == "__main__":
    main()
