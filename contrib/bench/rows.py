# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is measured.  A row's function takes a machine and a scale (1, less for a quick look) and returns its numbers."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.driver import commands
from tests.driver.commands import Rectangle
from tests.driver.gpu import Resource, set_scanout_request
from tests.driver.memory import MiB, Scattered
from tests.driver.rings import BrokenRingError
from tests.driver.waiting import readable

from .machine import BenchMachine, WrongPictureError
from .prepared import PreparedQueue
from .processes import memory_of_tree
from .reader import CELL, Counter, Mode

Numbers = dict[str, float]
QUEUED = 8
IN_FLIGHT = 64
UNDISPLAYED = 2
CURSOR_PHASES_MS = (0.3, 2, 5, 9, 14, 20, 27)


@dataclass(frozen=True)
class Metric:
    """One line of the table.  ``bar`` is a ratio to the better peer, or an absolute value when ``absolute``."""

    key: str
    title: str
    unit: str
    more_is_better: bool
    bar: float | None
    absolute: bool = False


@dataclass(frozen=True)
class Row:
    """What one function measures.  ``draws``: needs a backend whose pictures arrive on the display socket."""

    name: str
    measure: Callable[[BenchMachine, float], Numbers]
    metrics: tuple[Metric, ...]
    draws: bool = False


def keep_in_flight(
    machine: BenchMachine, queue: PreparedQueue, scale: float
) -> tuple[float, float]:
    """Commands a second, and seconds of the backend's CPU for each, with all chains in flight all
    the time.

    The driver only moves avail_idx on as used_idx moves.  Checks and releases the queue.
    """
    available, used = queue.available, queue.used
    for place in range(queue.size):
        available[2 + place] = place % IN_FLIGHT
    begun, cpu = time.perf_counter(), machine.cpu_of_backend()
    end = begun + scale
    done, seen = 0, queue.idx
    while (now := time.perf_counter()) < end or not done:
        for _ in range(16):
            used_idx = used[1]
            step = (used_idx - seen) & 0xFFFF
            if step > IN_FLIGHT:
                raise BrokenRingError(f"used idx went from {seen} to {used_idx}")
            done += step
            seen = used_idx
            target = (used_idx + IN_FLIGHT) & 0xFFFF
            if target != queue.idx:
                old, queue.idx = queue.idx, target
                available[1] = target
                queue.kick(old)
    cpu = machine.cpu_of_backend() - cpu
    queue.wait()
    queue.check()
    queue.release()
    return done / (now - begun), cpu / done


def transfers(machine: BenchMachine, scale: float) -> Numbers:
    """1x1 transfers, 64 in flight."""
    resource = machine.guest.create_2d(CELL, CELL)
    request = commands.transfer_to_host_2d(resource.resource_id, Rectangle(0, 0, 1, 1))
    queue = PreparedQueue(machine.guest.control, [request] * IN_FLIGHT)
    rate, cpu = keep_in_flight(machine, queue, scale)
    machine.drop(resource)
    return {"rate": rate, "cpu": cpu * 1e6}


def alone(machine: BenchMachine, scale: float) -> Numbers:
    """One 1x1 transfer at a time, 50 µs apart, until used_idx moves."""
    resource = machine.guest.create_2d(CELL, CELL)
    request = commands.transfer_to_host_2d(resource.resource_id, Rectangle(0, 0, 1, 1))
    queue = PreparedQueue(machine.guest.control, [request])
    used, clock = queue.used, time.perf_counter_ns
    times = []
    for _ in range(int(5000 * scale)):
        start = clock() + 50_000
        while clock() < start:
            pass
        start = clock()
        queue.offer(0)
        target = queue.idx
        while used[1] != target:
            pass
        times.append(clock() - start)
    queue.check()
    queue.release()
    machine.drop(resource)
    return {"median": statistics.median(times) / 1e3, "p99": _percentile(times, 99) / 1e3}


class Flipper:
    """Two resources shown in turn, as Linux does it: transfer, set_scanout and flush with one kick.

    Each frame has its number in its first and its last pixel, which the reader compares.
    """

    SETS = 8

    def __init__(self, machine: BenchMachine, width: int, height: int, blobs: bool = False) -> None:
        """``blobs``: guest blobs instead of 2D resources; the commands are the same, but transfers
        move nothing.
        """
        make = machine.guest.create_blob if blobs else machine.guest.create_2d
        self.machine = machine
        self.reader = machine.reader
        self.reader.set_mode(Mode.FRAMES)
        self.resources: list[Resource] = [make(width, height) for _ in range(2)]
        self.corners = [self._corners(resource) for resource in self.resources]
        for resource, grey in zip(self.resources, (0x40, 0xC0), strict=True):
            machine.guest.fill(resource, bytes([grey, grey ^ 0x20, grey ^ 0x10, 0]))
        requests: list[bytes] = []
        for index in range(self.SETS):
            requests += flip_requests(self.resources[index % 2])
        self.queue = PreparedQueue(machine.guest.control, requests)
        self.number = self.first_number = self.reader[Counter.LAST_FRAME]

    def _corners(self, resource: Resource) -> tuple[memoryview, memoryview]:
        backing = Scattered(self.machine.memory, resource.entries)
        last = resource.stride * resource.height - 4
        first_at, last_at = (next(backing._walk(offset, 4))[0] for offset in (0, last))
        memory = self.machine.memory
        return memory.view(first_at, 4).cast("I"), memory.view(last_at, 4).cast("I")

    def stamp(self) -> int:
        """Gives the next frame its number; returns which set of chains shows it."""
        turn = (self.number - self.first_number) % self.SETS
        self.number += 1
        first, last = self.corners[turn % 2]
        first[0] = last[0] = self.number
        return turn * 3

    def flip(self) -> None:
        """Shows a frame, once the chains that it uses have come back."""
        first = self.stamp()
        self.queue.wait(3 * (self.SETS - 1))
        self.queue.offer(first, first + 1, first + 2)

    @property
    def undisplayed(self) -> int:
        return self.number - self.reader[Counter.LAST_FRAME]

    def wait(self, undisplayed: int) -> None:
        """Sleeps until at most that many frames are not displayed yet."""
        while self.undisplayed > undisplayed:
            wait_for_reader(self.machine)

    def close(self) -> None:
        self.queue.check()
        self.queue.release()
        self.machine.drop(*self.resources)
        check_errors(self.machine)


def flip_requests(resource: Resource) -> list[bytes]:
    return [
        commands.transfer_to_host_2d(resource.resource_id, resource.whole),
        set_scanout_request(0, resource, resource.whole),
        commands.resource_flush(resource.resource_id, resource.whole),
    ]


def flips(width: int, height: int, blobs: bool = False) -> Callable[[BenchMachine, float], Numbers]:
    def measure(machine: BenchMachine, scale: float) -> Numbers:
        flipper = Flipper(machine, width, height, blobs)
        for _ in range(6):
            flipper.wait(UNDISPLAYED - 1)
            flipper.flip()
        flipper.wait(0)
        frames = machine.reader[Counter.FRAMES]
        begun, cpu = time.perf_counter(), machine.cpu_of_all()
        while time.perf_counter() < begun + 1.5 * scale:
            flipper.wait(UNDISPLAYED - 1)
            flipper.flip()
        flipper.wait(0)
        taken, cpu = time.perf_counter() - begun, machine.cpu_of_all() - cpu
        frames = machine.reader[Counter.FRAMES] - frames
        flipper.close()
        return {"rate": frames / taken, "cpu": cpu / frames * 1e3}

    return measure


def damages(machine: BenchMachine, scale: float) -> Numbers:
    """64x64 transfers and flushes all over a 1080p picture; a damage counts when the reader has seen its own number.

    A cell is drawn again only after its last number was displayed.  So a device may merge as it
    likes, and pixels that were merged away are never counted.
    """
    reader = machine.reader
    resource = machine.guest.create_2d(1920, 1080)
    machine.guest.show(resource)
    while reader[Counter.SCANOUT_WIDTH] != 1920:
        time.sleep(0.001)
    time.sleep(0.05)
    reader.set_mode(Mode.CELLS)
    columns = 1920 // CELL
    # Spread out, so that neighbours in time are far from each other on the screen.
    cells = [(index * 11 % 16) * columns + index * 7 % columns for index in range(IN_FLIGHT // 2)]
    backing = Scattered(machine.memory, resource.entries)
    pixels, requests = [], []
    for cell in cells:
        x, y = cell % columns * CELL, cell // columns * CELL
        offset = y * resource.stride + x * 4
        pixels.append(machine.memory.view(next(backing._walk(offset, 4))[0], 4).cast("I"))
        area = Rectangle(x, y, CELL, CELL)
        requests.append(commands.transfer_to_host_2d(resource.resource_id, area, offset))
        requests.append(commands.resource_flush(resource.resource_id, area))
    queue = PreparedQueue(machine.guest.control, requests)
    numbers = [reader.cells[cell] for cell in cells]
    number = max(reader.cells)
    shown = reader[Counter.DAMAGES]
    begun = time.perf_counter()
    while (now := time.perf_counter()) < begun + scale:
        for index, cell in enumerate(cells):
            while reader.cells[cell] != numbers[index]:
                wait_for_reader(machine)
            queue.wait(IN_FLIGHT - 2)
            number += 1
            pixels[index][0] = numbers[index] = number
            queue.offer(2 * index, 2 * index + 1)
    shown = reader[Counter.DAMAGES] - shown
    taken = now - begun
    queue.wait()
    for index, cell in enumerate(cells):
        while reader.cells[cell] != numbers[index]:
            wait_for_reader(machine)
    queue.check()
    queue.release()
    machine.drop(resource)
    reader.set_mode(Mode.FRAMES)
    check_errors(machine)
    return {"rate": shown / taken}


def cursor(machine: BenchMachine, scale: float) -> Numbers:
    """MOVE_CURSOR at several moments after eight 4K flips were queued at once, until the reader has CURSOR_POS."""
    picture = machine.guest.create_2d(CELL, CELL)
    machine.guest.transfer(picture)
    machine.guest.update_cursor(picture, 1, 1)
    flipper = Flipper(machine, 3840, 2160)
    flipper.flip()
    flipper.wait(0)
    times = [
        _cursor_delay(flipper, picture, phase / 1e3)
        for _ in range(max(1, int(3 * scale)))
        for phase in CURSOR_PHASES_MS
    ]
    flipper.close()
    return {"median": statistics.median(times), "p95": _percentile(times, 95)}


def _cursor_delay(flipper: Flipper, picture: Resource, phase: float) -> float:
    """Milliseconds."""
    machine, reader, queue = flipper.machine, flipper.reader, flipper.queue
    x = reader[Counter.CURSOR_X] % 1000 + 1
    begun = time.monotonic_ns()
    queue.offer(*range(3 * QUEUED))
    time.sleep(max(0, phase - (time.monotonic_ns() - begun) / 1e9))
    cursor_queue = machine.guest.cursor
    pending = cursor_queue.submit(commands.move_cursor(0, x, 7, picture.resource_id), 0, kick=False)
    begun = time.monotonic_ns()
    if cursor_queue.ring.needs_kick():
        cursor_queue.kick()
    end = begun + 10**10
    while reader[Counter.CURSOR_X] != x:
        if time.monotonic_ns() > end:
            raise WrongPictureError(f"{machine.peer.name}: the cursor never moved")
        time.sleep(0.0002)
    delay = (reader[Counter.CURSOR_TIME] - begun) / 1e6
    cursor_queue.wait(pending)
    queue.wait()
    flipper.flip()
    flipper.wait(0)
    return delay


def wait_for_reader(machine: BenchMachine, timeout: float = 10.0) -> None:
    """Sleeps until the reader has displayed something more."""
    if not readable(machine.reader.event_fd, timeout):
        check_errors(machine)
        raise WrongPictureError(f"nothing was displayed for {timeout} s")
    os.eventfd_read(machine.reader.event_fd)


def check_errors(machine: BenchMachine) -> None:
    if errors := machine.reader[Counter.ERRORS]:
        raise WrongPictureError(f"{errors} torn or malformed updates")


def idle(machine: BenchMachine, scale: float) -> Numbers:
    """CPU time of the backend's processes while nothing happens."""
    time.sleep(0.2)
    cpu = machine.cpu_of_backend()
    time.sleep(2 * scale)
    return {"cpu": (machine.cpu_of_backend() - cpu) * 1e3 / (2 * scale)}


def start(machine: BenchMachine, scale: float) -> Numbers:
    """From the program's start until it accepted a connection."""
    return {"time": machine.startup * 1e3}


def memory(machine: BenchMachine, scale: float) -> Numbers:
    """Connected and started, before any resource was made."""
    return {"pss": memory_of_tree(machine.pid) / MiB}


def _percentile(values: list[float] | list[int], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


FLIP_METRICS = (
    Metric("rate", "delivered", "/s", True, 1.5),
    Metric("cpu", "CPU of all processes", "ms each", False, 0.65),
)

# In the order in which they are measured: memory before anything was drawn.
ROWS = (
    Row("start", start, (Metric("time", "until it accepts", "ms", False, 400, absolute=True),)),
    Row("memory", memory, (Metric("pss", "PSS, no image", "MiB", False, 70, absolute=True),)),
    Row("idle", idle, (Metric("cpu", "CPU when idle", "ms/s", False, 0.5, absolute=True),)),
    Row(
        "transfers",
        transfers,
        (
            Metric("rate", "1x1 transfers, 64 in flight", "/s", True, 1.5),
            Metric("cpu", "CPU of the backend", "µs each", False, None),
        ),
    ),
    Row(
        "alone",
        alone,
        (
            Metric("median", "one at a time, median", "µs", False, 1.0),
            Metric("p99", "99th percentile", "µs", False, 1.0),
        ),
    ),
    Row("1080p", flips(1920, 1080), FLIP_METRICS, draws=True),
    Row("4k", flips(3840, 2160), FLIP_METRICS, draws=True),
    Row("damages", damages, (Metric("rate", "64x64 damages", "/s", True, 1.0),), draws=True),
    Row(
        "cursor",
        cursor,
        (
            Metric("median", "cursor behind eight 4K frames", "ms", False, 1 / 20),
            Metric("p95", "95th percentile", "ms", False, None),
        ),
        draws=True,
    ),
)
