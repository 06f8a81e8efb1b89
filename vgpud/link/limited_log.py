# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A line in the log for what a guest does wrong, but not a million a second."""

import time
from collections.abc import Callable

BURST = 10
PER_SECOND = 1.0


class Allowance:
    """Allows ``burst`` of something at once and then ``per_second``; counts what was not
    allowed.
    """

    def __init__(
        self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._allowed = float(burst)
        self._last = clock()
        self.left_out = 0

    def take(self) -> bool:
        """Whether one more is allowed now, which is counted either way."""
        if not self.any:
            self.left_out += 1
            return False
        self._allowed -= 1
        return True

    @property
    def any(self) -> bool:
        """Whether one more would be allowed."""
        self._grow()
        return self._allowed >= 1

    def reset(self) -> int:
        """How many were not allowed since the last call."""
        left_out, self.left_out = self.left_out, 0
        return left_out

    @property
    def whole(self) -> bool:
        """Whether nothing of it is used."""
        self._grow()
        return self._allowed == self._burst and not self.left_out

    def _grow(self) -> None:
        now = self._clock()
        self._allowed = min(self._burst, self._allowed + (now - self._last) * self._per_second)
        self._last = now


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
        self._allowance = Allowance(burst, per_second, clock)

    def write(self, text: str) -> bool:
        """Writes a line, or only counts it; whether it was written."""
        if not self._allowance.take():
            return False
        left_out = self._allowance.reset()
        self._write(text + (f" ({left_out} more not shown)" if left_out else ""))
        return True

    def finish(self) -> None:
        """Nothing more will come: says what was left out since the last line."""
        if left_out := self._allowance.reset():
            self._write(f"{left_out} more not shown")
