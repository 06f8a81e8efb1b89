# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Programs of others in the guest, held on one of their frames, so that it can be compared with what another renderer draws."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from . import disk
from .likeness import Deviation, deviation
from .picture import Picture
from .screens import HasScreen

# How programs name what draws for them: kmscube, glmark2, vkcube, vkmark.
RENDERER = re.compile(r'(?:GL_RENDERER: +|renderer: "|Selected GPU \d+: |Device Name: +)(.*)')

HELD_SECONDS = 300.0
"""Until a program has drawn that frame: it took 94 s where others computed, too."""

_serials = itertools.count(1)


@dataclass(frozen=True)
class Drawing:
    """What a program shows as its Nth frame."""

    command: str
    frame: int = 4

    @property
    def program(self) -> str:
        return self.command.split()[0]


@contextmanager
def held(screen: HasScreen, drawing: Drawing, environment: str = "") -> Iterator[str]:
    """The program waits at that frame for as long as the block lasts; the name of its renderer."""
    mark = f"/tmp/held-{next(_serials)}"
    preloaded = f"LD_PRELOAD=/usr/lib/hold.so HOLD_LOG={mark} HOLD_FRAME={drawing.frame}"
    program = f"env {preloaded} {environment} chroot {disk.ROOT} {drawing.command}"
    # kmscube ends when its standard input does.
    screen.guest.run(f"sleep 900 | ({program} >{mark}.log 2>&1; touch {mark}.ended) &")
    try:
        screen.guest.run(
            f"until [ -e {mark} ] || [ -e {mark}.ended ]; do sleep 0.1; done", HELD_SECONDS
        )
        log = screen.guest.run(f"cat {mark}.log; [ -e {mark} ]")
        (renderer, *_) = RENDERER.findall(log)
        yield renderer
    finally:
        kill(screen, drawing.program)


def kill(screen: HasScreen, program: str) -> None:
    """And what holds its standard input."""
    screen.guest.run(
        f"killall -9 {program} sleep; while pidof {program}; do sleep 0.1; done", check=False
    )


def nearest(screen: HasScreen, expected: Picture, timeout: float = 5) -> Deviation:
    """The screen's deviation as soon as it is tolerable, or else the last one: what is shown last may still come."""
    end = time.monotonic() + timeout
    while not (found := deviation(picture := screen.screendump(), expected)).tolerable:
        if time.monotonic() > end:
            screen.keep(expected, "expected")
            screen.keep(picture, "shown")
            break
        time.sleep(0.1)
    return found
