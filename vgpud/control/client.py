# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The asking side of the control socket, blocking."""

import os
import socket
import struct
from pathlib import Path
from typing import Any

from vgpud.control.protocol import ControlError, Fields, read_answer, request
from vgpud.link import rights

ANSWER_SECONDS = 10  # a front-end that is asked has half of it
_TIME = struct.Struct("ll")  # struct timeval
CHUNK = 64 * 1024
LINE_BYTES_MAX = 64 << 20  # hundreds of machines with thousands of resources


class Client:
    """A connection to a daemon; ``ControlError`` says what went wrong, in one sentence."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Not by settimeout(), with which connect() does not wait for its turn when many connect.
        self._socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(ANSWER_SECONDS, 0)
        )
        try:
            _connect(self._socket, path)
        except OSError as error:
            self._socket.close()
            raise ControlError(f"{path}: {error.strerror or error}") from None
        self._socket.settimeout(ANSWER_SECONDS)

    def close(self) -> None:
        self._socket.close()

    def ask(self, command: str, **arguments: Any) -> tuple[Fields, list[int]]:
        """The result and its descriptors, which are the caller's."""
        try:
            self._socket.sendall(request(command, **arguments))
            line, descriptors = self._line()
        except OSError as error:
            raise ControlError(f"the daemon does not answer: {error}") from None
        try:
            return read_answer(line), descriptors
        except ControlError:
            rights.close(descriptors)
            raise

    def _line(self) -> tuple[bytes, list[int]]:
        line, descriptors = b"", []
        while not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
            part, ancillary, _, _ = self._socket.recvmsg(
                CHUNK, rights.ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
            descriptors += rights.unpack(ancillary)
            if not part:
                rights.close(descriptors)
                raise ControlError("the daemon has hung up")
            line += part
        return line, descriptors


def _connect(end: socket.socket, path: Path) -> None:
    """The path may be longer than a socket's address."""
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        end.connect(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
