# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A memory table changes in one step: what is refused has changed nothing, for either queue."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..driver.backend import Backend, Machine
from ..driver.commands import move_cursor
from ..driver.frontend import RequestRefusedError
from ..driver.memory import PAGE, GuestMemory, MiB, Region
from .running import daemon, devices

FREE = 0x40_0000_0000  # where no guest memory is
SLOTS = 509


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with daemon() as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    """Its rings are in the first of two regions.  A region that was mapped before them has gone:
    mapping them again without need would put them there.
    """
    memory = GuestMemory(48 * MiB, 16 * MiB, 16 * MiB)
    gone = memory.regions[0]
    memory.allocate(gone.size, region=gone)
    with Machine(backend.socket_path, memory=memory) as machine:
        machine.frontend.remove_region(gone)
        memory.remove(gone)
        machine.guest.show(machine.guest.create_2d(32, 32))
        yield machine
    assert "Traceback" not in backend.log
    assert backend.process.poll() is None


def works(machine: Machine, x: int = 7) -> None:
    """Both queues, on the memory that there was."""
    assert machine.guest.display_info().ok
    machine.guest.show(machine.guest.create_2d(16, 16))
    pending = machine.guest.cursor.submit(move_cursor(0, x, 0), 24)
    assert machine.guest.cursor.wait(pending)
    display = machine.display
    assert display.wait_for(lambda: 0 in display.cursors and display.cursors[0].x == x)


@contextmanager
def other_region(
    guest_address: int = FREE, size: int = MiB, file_size: int = MiB
) -> Iterator[Region]:
    file = os.memfd_create("other")
    os.ftruncate(file, file_size)
    yield Region(guest_address, size, 0x7D00_0000_0000 + guest_address, file, 0, memoryview(b""))
    os.close(file)


def overlapping(machine: Machine) -> None:
    with other_region(machine.memory.regions[0].guest_address + PAGE) as other:
        machine.frontend.set_mem_table([*machine.memory.regions, other])


def too_short(machine: Machine) -> None:
    with other_region(file_size=PAGE) as other:
        machine.frontend.set_mem_table([other])


def second_of_three(machine: Machine) -> None:
    with other_region() as other, other_region(2 * FREE, file_size=PAGE) as wrong:
        machine.frontend.set_mem_table([other, wrong, *machine.memory.regions[:1]])


def without_the_rings(machine: Machine) -> None:
    """Were it not refused, neither queue would have a ring."""
    with other_region() as other, other_region(file_size=PAGE) as wrong:
        machine.frontend.set_mem_table([other, wrong])


def added_twice(machine: Machine) -> None:
    machine.frontend.add_region(machine.memory.regions[1])


def one_too_many(machine: Machine) -> None:
    with other_region() as other:
        for number in range(SLOTS + 1 - len(machine.memory.regions)):
            address = FREE + number * PAGE
            piece = Region(address, PAGE, other.user_address + address, other.fd, 0, other.view)
            machine.frontend.add_region(piece)


def never_there(machine: Machine) -> None:
    with other_region() as other:
        machine.frontend._shared.append(other)
        machine.frontend.remove_region(other)


@contextmanager
def without_room(backend: Backend) -> Iterator[None]:
    """The device processes cannot map anything large."""
    for process in devices(backend.process.pid):
        status = Path(f"/proc/{process}/status").read_text().splitlines()
        size = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize:"))
        limits = resource.prlimit(process, resource.RLIMIT_AS)
        resource.prlimit(process, resource.RLIMIT_AS, (size + 64 * MiB, limits[1]))
    yield
    for process in devices(backend.process.pid):
        resource.prlimit(process, resource.RLIMIT_AS, (limits[1], limits[1]))


REFUSED = [
    overlapping,
    too_short,
    second_of_three,
    without_the_rings,
    added_twice,
    one_too_many,
    never_there,
]


@pytest.mark.parametrize("ask", REFUSED)
def test_what_is_refused_has_changed_nothing(
    machine: Machine, ask: Callable[[Machine], None]
) -> None:
    for attempt in range(3):
        with pytest.raises(RequestRefusedError):
            ask(machine)
        works(machine, attempt)


def one_more(machine: Machine, other: Region) -> None:
    machine.frontend.add_region(other)


def a_larger_table(machine: Machine, other: Region) -> None:
    machine.frontend.set_mem_table([*machine.memory.regions, other])


def another_table(machine: Machine, other: Region) -> None:
    machine.frontend.set_mem_table([other])


@pytest.mark.parametrize("ask", [one_more, a_larger_table, another_table])
def test_what_the_device_process_alone_refuses_has_changed_nothing(
    machine: Machine, backend: Backend, ask: Callable[[Machine, Region], None]
) -> None:
    large = 1 << 33
    with without_room(backend), other_region(size=large, file_size=large) as other:
        with pytest.raises(RequestRefusedError):
            ask(machine, other)
        works(machine)
    # It was never added.
    with other_region() as other:
        machine.frontend.add_region(other)
        machine.frontend.remove_region(other)
    works(machine, 9)


def test_a_region_with_the_rings_that_goes_and_comes_back(
    machine: Machine, backend: Backend
) -> None:
    rings = machine.memory.regions[0]
    machine.frontend.remove_region(rings)
    pending = machine.guest.cursor.submit(move_cursor(0, 1, 1), 24)
    for queue in machine.guest.queues:
        queue.kick()
        assert queue.errored(5)
    assert machine.guest.cursor.finished(pending) is None
    machine.frontend.stop()
    machine.frontend.reset()
    machine.guest.fresh_rings()
    machine.frontend.driver_ok(machine.memory, machine.guest.queues, machine.new_display())
    works(machine)


def test_a_table_that_moves_everything_is_followed(machine: Machine) -> None:
    for attempt in range(20):
        machine.frontend.set_mem_table(machine.memory.regions)
        works(machine, attempt)


def test_a_region_that_only_pixels_lie_in_goes(machine: Machine) -> None:
    machine.frontend.remove_region(machine.memory.regions[1])
    works(machine)
