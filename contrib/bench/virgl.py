# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Rows only for the mode virglrenderer: streams of commands, and flushes on a host without a
GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.driver import commands, commands_3d
from tests.driver.commands import Format, Rectangle
from tests.driver.commands_3d import Resource3D

from .library import COLOR
from .machine import BenchMachine
from .prepared import PreparedQueue
from .reader import Counter
from .reference import reference
from .rows import IN_FLIGHT, Metric, Numbers, Row, check_errors, keep_in_flight, wait_for_reader

CTX = 1
PICTURE = 900
WIDTH, HEIGHT = 1920, 1080
ROUNDS = 200


def submits(
    fence_id: int | None, stream: bytes = commands_3d.NOP, context_init: int = 0
) -> Callable[[BenchMachine, float], Numbers]:
    """SUBMIT_3D of one command, 64 in flight all the time."""

    def measure(machine: BenchMachine, scale: float) -> Numbers:
        machine.guest.do(commands_3d.ctx_create(CTX, context_init=context_init))
        request = commands_3d.submit_3d(CTX, stream, fence_id)
        queue = PreparedQueue(machine.guest.control, [request] * IN_FLIGHT)
        rate, cpu = keep_in_flight(machine, queue, scale)
        machine.guest.do(commands_3d.ctx_destroy(CTX))
        return {"rate": rate, "core": 1 / cpu}

    return measure


def flushes(pixel_format: int) -> Callable[[BenchMachine, float], Numbers]:
    """A flush of a whole 1080p picture, and in turn with it what the library alone takes to read
    one, and a copy.
    """

    def measure(machine: BenchMachine, scale: float) -> Numbers:
        guest, whole = machine.guest, Rectangle(0, 0, WIDTH, HEIGHT)
        picture = Resource3D(format=pixel_format, width=WIDTH, height=HEIGHT)
        guest.do(commands_3d.ctx_create(CTX))
        guest.do(commands_3d.resource_create_3d(PICTURE, picture))
        guest.do(commands_3d.ctx_attach_resource(CTX, PICTURE))
        guest.do(commands_3d.submit_3d(CTX, commands_3d.clear(PICTURE, pixel_format, COLOR), 1))
        guest.do(commands.set_scanout(0, PICTURE, whole))
        queue = PreparedQueue(guest.control, [commands.resource_flush(PICTURE, whole)])
        ours, theirs = [], []
        with reference("contrib.bench.library", pixel_format) as library:
            for _ in range(max(3, round(ROUNDS * scale))):
                theirs.append(sum(library.measure()))
                ours.append(flush(machine, queue))
        queue.check()
        queue.release()
        guest.do(commands.resource_unref(PICTURE))
        guest.do(commands_3d.ctx_destroy(CTX))
        check_errors(machine)
        # The least, since other load on this computer only adds time.
        best, read = min(ours), min(theirs)
        return {"flush": best * 1e3, "read": read * 1e3, "ratio": best / read}

    return measure


def flush(machine: BenchMachine, queue: PreparedQueue) -> float:
    """Seconds until the guest is answered; then waits, outside the measurement, until the picture
    was displayed.
    """
    frames = machine.reader[Counter.FRAMES]
    begun = time.perf_counter()
    queue.offer(0)
    queue.wait()
    taken = time.perf_counter() - begun
    while machine.reader[Counter.FRAMES] == frames:
        wait_for_reader(machine)
    return taken


FLUSH_METRICS = (
    Metric("flush", "flush, 1080p, no GPU", "ms", False, None),
    Metric("read", "transfer_read and a copy", "ms", False, None),
    Metric("ratio", "of a flush to those", "x", False, 1.10, absolute=True),
)
SUBMIT_METRICS = (
    Metric("rate", "SUBMIT_3D of a NOP, 64 in flight", "/s", True, 1.5),
    Metric("core", "a second of CPU", "/s", True, 500_000, absolute=True),
)

SUBMITS = (
    Row("submit", submits(None), SUBMIT_METRICS),
    Row("fences", submits(1), SUBMIT_METRICS),
)
ROWS = (
    *SUBMITS,
    Row("flush-bgrx", flushes(Format.B8G8R8X8_UNORM), FLUSH_METRICS, draws=True),
    Row("flush-rgbx", flushes(Format.R8G8B8X8_UNORM), FLUSH_METRICS, draws=True),
)
