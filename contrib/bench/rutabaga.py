# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Rows only for the mode gfxstream: streams of cross-domain contexts, and textures of the library's
own 2D.

That 2D is a part of every build of the library, and no capability set leads to it: a renderer of the tests' does
(``tests/device/rutabaga_2d.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.driver import commands, commands_3d, rutabaga
from tests.driver.commands import Format, Rectangle
from tests.driver.commands_3d import Box, Command3D, Resource3D

from .machine import BenchMachine
from .peers import rutabaga_environment, with_textures
from .prepared import PreparedQueue
from .reference import reference
from .rows import Metric, Numbers, Row, check_errors
from .virgl import HEIGHT, PICTURE, ROUNDS, WIDTH, flush, submits

WHOLE = Rectangle(0, 0, WIDTH, HEIGHT)
RUN_PAGES = 16
PIXELS = b"\x40\x30\x20\x00"


def textures(machine: BenchMachine, scale: float) -> Numbers:
    """A whole 1080p picture transferred and flushed, by a daemon of its own; in turn with what the
    library alone takes for that.
    """
    with (
        BenchMachine(with_textures(), RUN_PAGES) as drawing,
        reference("contrib.bench.rutabaga_library", environment=rutabaga_environment()) as library,
    ):
        return _textures(drawing, library.measure, max(3, round(ROUNDS * scale)))


def _textures(machine: BenchMachine, alone: Callable[[], list[float]], rounds: int) -> Numbers:
    guest = machine.guest
    backed = guest.create_2d(WIDTH, HEIGHT)
    guest.fill(backed, PIXELS)
    picture = Resource3D(format=Format.B8G8R8X8_UNORM, width=WIDTH, height=HEIGHT)
    guest.do(commands_3d.resource_create_3d(PICTURE, picture))
    guest.do(commands.resource_attach_backing(PICTURE, backed.entries))
    guest.do(commands.set_scanout(0, PICTURE, WHOLE))
    box = Box(0, 0, 0, WIDTH, HEIGHT, 1)
    transfer = commands_3d.transfer_3d(Command3D.TRANSFER_TO_HOST_3D, PICTURE, box, offset=0)
    queue = PreparedQueue(guest.control, [commands.resource_flush(PICTURE, WHOLE), transfer])
    ours, theirs = [], []
    for _ in range(rounds):
        write, read, copy = alone()
        theirs.append((write, read + copy))
        ours.append((_transfer(queue), flush(machine, queue)))
    queue.check()
    queue.release()
    check_errors(machine)
    # The least, since other load on this computer only adds time.
    write, read = map(min, zip(*theirs, strict=True))
    transferred, flushed = map(min, zip(*ours, strict=True))
    return {
        "transfer": transferred * 1e3,
        "write": write * 1e3,
        "transfers": transferred / write,
        "flush": flushed * 1e3,
        "read": read * 1e3,
        "flushes": flushed / read,
    }


def _transfer(queue: PreparedQueue) -> float:
    """Seconds until the guest is answered."""
    begun = time.perf_counter()
    queue.offer(1)
    queue.wait()
    return time.perf_counter() - begun


SUBMIT_METRICS = (
    Metric("rate", "SUBMIT_3D of a POLL, 64 in flight", "/s", True, None),
    Metric("core", "a second of CPU", "/s", True, 500_000, absolute=True),
)
TEXTURE_METRICS = (
    Metric("transfer", "transfer, 1080p, rutabaga's 2D", "ms", False, None),
    Metric("write", "transfer_write", "ms", False, None),
    Metric("transfers", "of a transfer to it", "x", False, 1.10, absolute=True),
    Metric("flush", "flush, 1080p, rutabaga's 2D", "ms", False, None),
    Metric("read", "transfer_read and a copy", "ms", False, None),
    Metric("flushes", "of a flush to those", "x", False, 1.10, absolute=True),
)

ROWS = (
    Row("cross-submit", submits(None, rutabaga.poll(), rutabaga.CROSS_DOMAIN), SUBMIT_METRICS),
    Row("cross-fences", submits(1, rutabaga.poll(), rutabaga.CROSS_DOMAIN), SUBMIT_METRICS),
    Row("textures", textures, TEXTURE_METRICS, draws=True),
)
