# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How long a guest is waited for: by what its QEMU computes, since a busy host makes any time on the clock too short."""

from __future__ import annotations

import os
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# A guest under emulation boots within some 20 s of computing.
COMPUTING_SECONDS = 120.0
# One that boots gets more than that of any host; one that has stopped, or waits for something, does not.
STILL_SECONDS, STILL_COMPUTES = 40.0, 1.0


class Patience:
    """Ends when QEMU has computed that long, when it hardly does for a while, and when it is not there any more."""

    def __init__(self, process_folder: Path, computing: float = COMPUTING_SECONDS) -> None:
        """``process_folder`` is QEMU's in a /proc."""
        self._stat = process_folder / "stat"
        self._computing = computing
        self._begin = self._last = self._computed() or 0.0
        self._since = time.monotonic()

    def over(self) -> str:
        """Why the guest is not waited for any longer; empty while it is."""
        computed = self._computed()
        if computed is None:
            return "QEMU has ended"
        if computed - self._begin > self._computing:
            return f"QEMU has computed for {computed - self._begin:.0f} s"
        if computed - self._last > STILL_COMPUTES:
            self._last, self._since = computed, time.monotonic()
        if time.monotonic() - self._since > STILL_SECONDS:
            return f"QEMU has computed less than {STILL_COMPUTES:g} s in {STILL_SECONDS:g} s"
        return ""

    def _computed(self) -> float | None:
        """Seconds of all its threads; None of one that has ended."""
        try:
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        state, user, system = fields[0], *map(int, fields[11:13])
        return None if state in "ZX" else (user + system) / TICKS
