# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine that does nothing wrong, and notices what others cost it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import commands
from .backend import Machine
from .closing import Closing
from .memory import GuestMemory, MiB

WIDTH, HEIGHT = 64, 48
SECONDS = 2.0


class WitnessError(AssertionError):
    """Something did not come in time, or was not what was drawn."""


@dataclass(frozen=True)
class Latencies:
    """Of one kind of thing, in seconds, sorted."""

    seconds: list[float]

    def percentile(self, percent: float) -> float:
        return self.seconds[min(int(len(self.seconds) * percent / 100), len(self.seconds) - 1)]

    def __str__(self) -> str:
        parts = [f"p{percent} {self.percentile(percent) * 1e6:.0f} us" for percent in (50, 90, 99)]
        return ", ".join([*parts, f"max {self.seconds[-1] * 1e6:.0f} us"])


class Witness(Closing):
    """A machine with a display, on a daemon that others misuse."""

    def __init__(self, socket_path: Path, *, seconds: float = SECONDS) -> None:
        """``seconds``: how long each single thing may take."""
        self.seconds = seconds
        self.machine = Machine(
            socket_path,
            memory=GuestMemory(4 * MiB),
            guest={"timeout": seconds},
            frontend={"timeout": max(seconds, 5.0)},
        )
        self._random = random.Random(socket_path.name)
        self._place = 0
        guest = self.machine.guest
        self._picture = guest.create_2d(WIDTH, HEIGHT)
        self._pointer = guest.create_2d(64, 64)
        guest.show(self._picture)
        guest.transfer(self._pointer)
        guest.update_cursor(self._pointer, 0, 0)
        self.machine.frontend.connection.settimeout(seconds)

    def close(self) -> None:
        self.machine.close()

    # --- whether all is well

    def check(self) -> None:
        """Draws and sees what it drew, moves its cursor and sees that; the VMM's question is answered."""
        self.draw()
        self.move()
        self.machine.frontend.get_config()
        if self.machine.display.violations:
            raise WitnessError(f"QEMU would be dead: {self.machine.display.violations}")

    def draw(self) -> None:
        """A picture that was never there before, and exactly it."""
        pixels = self._random.randbytes(WIDTH * HEIGHT * 4)
        guest = self.machine.guest
        guest.draw(self._picture, self._picture.whole, pixels)
        guest.transfer(self._picture)
        guest.flush(self._picture)
        if not self.machine.display.wait_for_picture(0, pixels, self.seconds):
            raise WitnessError(f"the picture is not shown within {self.seconds} s")

    def move(self) -> None:
        """A cursor that goes where it was moved."""
        self._timed_move()

    # --- how long it takes

    def cursor_latencies(self, count: int = 300, pause: float = 0.001) -> Latencies:
        """From the kick until the display has CURSOR_POS."""
        return _measure(self._timed_move, count, pause)

    def config_latencies(self, count: int = 300, pause: float = 0.001) -> Latencies:
        """From GET_CONFIG until its reply is here."""
        return _measure(self._timed_config, count, pause)

    def _timed_move(self) -> float:
        self._place = (self._place + 1) % 1000
        display, guest, wanted = self.machine.display, self.machine.guest, self._place + 1

        def is_there() -> bool:
            cursor = display.cursors.get(0)
            return cursor is not None and cursor.x == wanted

        request = commands.move_cursor(0, wanted, 7, self._pointer.resource_id)
        began = time.perf_counter()
        pending = guest.cursor.submit(request, 0)
        seen = display.wait_for(is_there, self.seconds)
        took = time.perf_counter() - began
        guest.cursor.wait(pending, self.seconds)
        if not seen:
            raise WitnessError(f"the cursor does not move within {self.seconds} s")
        return took

    def _timed_config(self) -> float:
        began = time.perf_counter()
        self.machine.frontend.get_config()
        return time.perf_counter() - began


def _measure(thing: Callable[[], float], count: int, pause: float) -> Latencies:
    found = []
    for _ in range(count):
        time.sleep(pause)
        found.append(thing())
    return Latencies(sorted(found))
