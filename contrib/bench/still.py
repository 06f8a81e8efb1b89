# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a screen that stands still takes of the host's memory: a 2D resource's pixels, and those of a guest blob, which has its own."""

from __future__ import annotations

import time

from tests.driver.commands import Rectangle
from tests.driver.gpu import Resource, set_scanout_request

from .machine import BenchMachine
from .processes import kept_memory
from .reader import Counter, Mode
from .rows import Metric, Numbers, Row, check_errors, wait_for_reader

WIDTH, HEIGHT = 3840, 2160
PICTURE = WIDTH * HEIGHT * 4
FLUSHES = 12
# Spare slots are given back a second after the last flush.
REST = 1.5


def still(machine: BenchMachine, scale: float) -> Numbers:
    """Of a 4K screen that was drawn whole several times, as fast as it goes, a moment ago."""
    guest = machine.guest
    return {
        "image": _taken(machine, guest.create_2d(WIDTH, HEIGHT)),
        "blob": _taken(machine, guest.create_blob(WIDTH, HEIGHT)),
    }


def _taken(machine: BenchMachine, resource: Resource) -> float:
    """In pictures of that size; the resource is new, and has taken nothing yet."""
    guest, reader = machine.guest, machine.reader
    guest.fill(resource, b"\x55" * 4)
    reader.set_mode(Mode.FRAMES)
    before = kept_memory(machine.pid, machine.memory)
    guest.do(set_scanout_request(0, resource, Rectangle(0, 0, WIDTH, HEIGHT)))
    frames = reader[Counter.FRAMES]
    for _ in range(FLUSHES):
        guest.transfer(resource)
        guest.flush(resource)
    while reader[Counter.FRAMES] == frames:
        wait_for_reader(machine)
    time.sleep(REST)
    taken = kept_memory(machine.pid, machine.memory) - before
    machine.drop(resource)
    check_errors(machine)
    return taken / PICTURE


METRICS = (
    Metric("image", "still 4K screen, 2D resource", "pictures", False, 1.1, absolute=True),
    Metric("blob", "still 4K screen, guest blob", "pictures", False, 0.1, absolute=True),
)

ROWS = (Row("still", still, METRICS, draws=True),)
