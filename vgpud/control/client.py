# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The asking side of the control socket, blocking."""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgpud.config.runtime import PATH_BYTES_MAX, SOCKET_NAME
from vgpud.control.protocol import (
    EVENTS,
    SUFFIX,
    ControlError,
    Fields,
    read_answer,
    read_event,
    request,
)
from vgpud.link import rights

ANSWER_SECONDS = 10  # half of it is for a front-end that is asked
_TIME = struct.Struct("ll")  # struct timeval
CHUNK = 64 * 1024
LINE_BYTES_MAX = 64 << 20  # hundreds of machines with thousands of resources


ADVICE = "start it, or name its socket with -s"


class NobodyError(ControlError):
    """No daemon listens there."""


class NotAllowedError(ControlError):
    """There may be a daemon, but this user cannot reach it."""


class Client:
    """A connection to a daemon; ``ControlError`` says what went wrong, in one sentence.

    ``seconds`` is how long an answer may take.
    """

    def __init__(self, path: Path, seconds: int = ANSWER_SECONDS) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Not settimeout(): with it connect() fails at once when many connect, instead of waiting
        # for its turn.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(seconds, 0))
        self._read = b""
        try:
            _connect(self._socket, path)
        except OSError as error:
            self._socket.close()
            raise _explained(error, path) from None
        self._socket.settimeout(seconds)

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

    def follow(self) -> Iterator[Fields]:
        """What happens from now on; ends when the daemon does."""
        self.ask(EVENTS)
        self._socket.settimeout(None)
        return self._events()

    def _events(self) -> Iterator[Fields]:
        while True:
            try:
                line, descriptors = self._line()
            except (ControlError, OSError):
                return
            rights.close(descriptors)
            yield read_event(line)

    def _line(self) -> tuple[bytes, list[int]]:
        data, descriptors = self._read, []
        while b"\n" not in data and len(data) < LINE_BYTES_MAX:
            part, ancillary, _, _ = self._socket.recvmsg(
                CHUNK, rights.ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
            descriptors += rights.unpack(ancillary)
            if not part:
                rights.close(descriptors)
                raise ControlError("the daemon has hung up")
            data += part
        line, newline, self._read = data.partition(b"\n")
        return line + newline, descriptors


def _connect(end: socket.socket, path: Path) -> None:
    """Connects also where the path is longer than a socket's address allows."""
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        end.connect(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def _explained(error: OSError, path: Path) -> ControlError:
    """``path`` is the control socket's; messages name the main one, which users know."""
    main = str(path).removesuffix(SUFFIX)
    if isinstance(error, FileNotFoundError | NotADirectoryError | ConnectionRefusedError):
        return NobodyError(_misnamed(Path(main)) or f"no vgpud answers at {main}; {ADVICE}")
    if isinstance(error, PermissionError):
        return NotAllowedError(
            f"{main}: {error.strerror}: the daemon answers only root, its own user and the group "
            f"of its socket"
        )
    return ControlError(f"{main}: {error.strerror or error}")


def _misnamed(main: Path) -> str:
    """Why nobody can answer at a path; empty when somebody might."""
    if main.is_dir():
        return f"{main}: this is a folder; name the daemon's socket in it, such as {main / SOCKET_NAME}"
    if str(main).endswith(SUFFIX):
        return f"{main}: name the daemon's socket, {str(main).removesuffix(SUFFIX)}"
    if len(os.fsencode(main)) > PATH_BYTES_MAX:
        return f"{main}: no vgpud listens there, since a socket's path has at most {PATH_BYTES_MAX} bytes"
    return f"{main}: this is not a socket" if main.exists() and not main.is_socket() else ""
