# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One machine as the spawner knows it: how its session asks, and its one device process."""

import errno
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from vgpud.spawner.children import Child
from vgpud.tree import codec

# More device processes than this is no honest session's wish: each costs everybody a fork.
DEVICES_AT_ONCE = 20
DEVICES_PER_SECOND = 2.0


class Machine:
    """Owns its descriptors.  ``log`` is what its device processes have as standard error."""

    def __init__(self, number: int, grants: socket.socket, wishes: int, log: int) -> None:
        self.number = number
        self.wishes = wishes
        self.log = log
        self.device: Child | None = None
        self._grants = grants
        self._allowed = float(DEVICES_AT_ONCE)
        self._last = time.monotonic()

    def refusal(self) -> int:
        """Why there can be no device process for it now, as an errno; 0 when there can."""
        now = time.monotonic()
        grown = self._allowed + (now - self._last) * DEVICES_PER_SECOND
        self._allowed, self._last = min(grown, float(DEVICES_AT_ONCE)), now
        if self.device is not None:
            return errno.EBUSY
        if self._allowed < 1:
            return errno.EAGAIN
        self._allowed -= 1
        return 0

    def grant(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """One that its session does not take is lost, as the session then is to itself."""
        with suppress(OSError):
            codec.send(self._grants, message, descriptors)

    def close(self) -> None:
        self._grants.close()
        os.close(self.wishes)
        os.close(self.log)
