# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is measured of either, in the same way and in small pieces, so that both can have their turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from .recording import load
from .replay import Host, Replay


class Run:
    """The recording, played once.  All times are in seconds."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._replay = Replay(load(), host)

    def begin(self) -> float:
        """Until the first frame has ended."""
        begun = time.perf_counter()
        self._host.begin()
        self._replay.advance(1)
        return time.perf_counter() - begun

    def frames(self, count: int) -> float:
        """Of each of the next frames."""
        begun = time.perf_counter()
        self._replay.advance(count)
        return (time.perf_counter() - begun) / count

    def fences(self, count: int, rest: int = 0) -> float:
        """From an empty stream with a fence until that has passed, the median of so many; ``rest``: microseconds before each."""
        times = []
        self._replay.settle()
        for _ in range(count):
            if rest:
                time.sleep(rest / 1e6)
            begun = time.perf_counter()
            self._host.fence()
            self._host.wait()
            times.append(time.perf_counter() - begun)
        return median(times)

    def end(self) -> float:
        """What is left of it: every result has to be what it was."""
        begun = time.perf_counter()
        self._replay.advance(None)
        self._replay.settle()
        self._host.end()
        return time.perf_counter() - begun


class Runs:
    """One run after another, by the names of what is measured."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._run: Run | None = None

    def measure(self, name: str, *arguments: int) -> float:
        if self._run is None:
            self._run = Run(self._host)
        measured: Callable[..., float] = getattr(self._run, name)
        taken = measured(*arguments)
        if name == "end":
            self._run = None
        return taken
