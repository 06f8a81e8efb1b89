# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What stands behind a cross-domain channel: a socket that a compositor would listen at."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .closing import Closing

MAXIMUM_BYTES = 4096


class Heard(NamedTuple):
    """What a client has sent at once; the descriptors are the caller's."""

    data: bytes
    descriptors: list[int]


class Compositor(Closing):
    """Listens until the block ends; speaks with the client that came last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(5)
        self._clients: list[socket.socket] = []

    def close(self) -> None:
        self.die()

    def accept(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(5)
        self._clients.append(client)

    def hear(self) -> Heard:
        data, descriptors, _, _ = socket.recv_fds(self._clients[-1], MAXIMUM_BYTES, 28)
        return Heard(data, list(descriptors))

    def say(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        socket.send_fds(self._clients[-1], [data], descriptors)

    def die(self) -> None:
        """Nobody listens there any more."""
        for one in (*self._clients, self._listener):
            one.close()
        self._clients.clear()
        self._path.unlink(missing_ok=True)
