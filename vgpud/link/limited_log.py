# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a guest does wrong is worth a line in the log; a million times a second it is not."""

import time
from collections.abc import Callable

BURST = 10
PER_SECOND = 1.0


class LimitedLog:
    """Lets ``burst`` lines through at once and then ``per_second``, saying how many were left out."""

    def __init__(
        self,
        write: Callable[[str], None],
        burst: int = BURST,
        per_second: float = PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._allowed = float(burst)
        self._last = clock()
        self._left_out = 0

    def write(self, text: str) -> None:
        """Writes a line, or only counts it."""
        now = self._clock()
        self._allowed = min(self._burst, self._allowed + (now - self._last) * self._per_second)
        self._last = now
        if self._allowed < 1:
            self._left_out += 1
            return
        self._allowed -= 1
        more = f" ({self._left_out} more not shown)" if self._left_out else ""
        self._left_out = 0
        self._write(text + more)
