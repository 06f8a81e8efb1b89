# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How often, and how soon, a process that died is started again."""

import time
from collections import deque
from collections.abc import Callable

from vgpud.config.schema import DeviceProcess


class Restarts:
    """The first restart within the window is immediate; each further one waits twice as long."""

    def __init__(self, options: DeviceProcess, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._recent: deque[float] = deque()

    def delay(self) -> float | None:
        """Seconds to wait before the next start; None when there have been too many."""
        now = self._clock()
        while self._recent and now - self._recent[0] > self._options.restart_window:
            self._recent.popleft()
        before = len(self._recent)
        if before >= self._options.restarts:
            return None
        self._recent.append(now)
        if before == 0:
            return 0.0
        longest = self._options.restart_window
        return float(min(self._options.restart_delay * 2 ** min(before - 1, 32), longest))
