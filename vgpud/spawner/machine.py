# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One machine as the spawner knows it: its session's wishes, its one device process with its render
server, and its view processes.
"""

import errno
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from vgpud.config.schema import Config
from vgpud.spawner.children import Child
from vgpud.tree import codec
from vgpud.tree.wishes import Wishes

# No honest session asks for more device processes, or more view processes, than this; each fork
# delays everybody.
FORKS_AT_ONCE = 20
FORKS_PER_SECOND = 2.0
# Viewers at the same time: each has a process.
VIEWS_MAX = 8


class Allowance:
    """How often something may happen."""

    def __init__(self) -> None:
        self._left = float(FORKS_AT_ONCE)
        self._last = time.monotonic()

    def take(self) -> bool:
        """Whether it may happen once more now."""
        now = time.monotonic()
        grown = self._left + (now - self._last) * FORKS_PER_SECOND
        self._left, self._last = min(grown, float(FORKS_AT_ONCE)), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Machine:
    """Owns its descriptors.  ``log`` is what its device and view processes have as standard error.
    Of ``config`` the spawner needs only what render servers are started with.
    """

    def __init__(
        self, number: int, config: Config, grants: socket.socket, wishes: int, log: int
    ) -> None:
        self.number = number
        self.config = config
        self.wishes = wishes
        self.log = log
        self.words = Wishes()
        self.device: Child | None = None
        self.server: Child | None = None
        self.server_end = -1
        """The render server's end of the socket that it shares with the device process, until it
        starts; -1: there is none.
        """
        self.views: set[Child] = set()
        self._grants = grants
        # Counted separately: many viewers must not prevent a device process.
        self._devices, self._viewers = Allowance(), Allowance()

    def refusal(self) -> int:
        """The errno for which it can have no device process now; 0 when it can."""
        if self.device is not None:
            return errno.EBUSY
        return 0 if self._devices.take() else errno.EAGAIN

    def view_refusal(self) -> int:
        """Likewise for one more view process."""
        if len(self.views) >= VIEWS_MAX:
            return errno.EBUSY
        return 0 if self._viewers.take() else errno.EAGAIN

    def grant(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Sends a grant; one that the session does not take is lost, and that is the session's loss
        only.
        """
        with suppress(OSError):
            codec.send(self._grants, message, descriptors)

    def take_server_end(self) -> int:
        """Takes the descriptor; the caller then owns it."""
        end, self.server_end = self.server_end, -1
        return end

    def drop_server_end(self) -> None:
        """Closes the socket: there will be no render server, and whoever waits for it at the other
        end sees that.
        """
        if self.server_end >= 0:
            os.close(self.take_server_end())

    def close(self) -> None:
        self.drop_server_end()
        self._grants.close()
        os.close(self.wishes)
        os.close(self.log)
