# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Who is at the other end of a socket, from the kernel (unix(7), ``struct ucred``)."""

import socket
from struct import Struct
from typing import NamedTuple, Protocol

_UCRED = Struct("3i")
BYTES = _UCRED.size


class Credentials(NamedTuple):
    """Numbers of a process, its user and its group; 0 for a process that cannot be named from here."""

    process: int
    user: int
    group: int


class _Socket(Protocol):
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def unpack(content: bytes) -> Credentials:
    """What SCM_CREDENTIALS brings with a message."""
    return Credentials(*_UCRED.unpack_from(content))


def peer_of(end: _Socket) -> Credentials:
    """The credentials of the process that connected, made the socket pair, or called listen()."""
    return unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, BYTES))
