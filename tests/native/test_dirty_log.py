# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The dirty log of a live migration: what the device writes into guest memory, and nothing else, is marked."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.driver import commands
from tests.driver.commands import Rectangle
from tests.driver.memory import MiB
from vgpud.native import lib

from .plane import Plane
from .tables import changed

PAGE = 4096
LOG_OFFSET = 8192


class Log:
    """``pages``: numbers of the pages marked since the last look."""

    def __init__(self, plane: Plane) -> None:
        self.size = -(-(0x10_0000 + 32 * MiB) // PAGE // 8)
        self.fd = os.memfd_create("log")
        os.ftruncate(self.fd, LOG_OFFSET + self.size)
        with changed(plane.guest_memory) as table:
            table.set_log(self.fd, self.size, LOG_OFFSET)

    def pages(self) -> set[int]:
        bits = os.pread(self.fd, self.size, LOG_OFFSET)
        os.pwrite(self.fd, bytes(self.size), LOG_OFFSET)
        assert os.pread(self.fd, LOG_OFFSET, 0) == bytes(LOG_OFFSET)
        return {8 * i + bit for i, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1}


@pytest.fixture(params=[False, True], ids=["split", "packed"])
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    made = Plane(packed=request.param, event_idx=True)
    assert made.start() == 0
    yield made
    made.close()


def written(plane: Plane, *addresses: int) -> set[int]:
    ring = plane.guest.control.ring
    rings = {ring.descriptor, ring.used} if plane.guest.packed else {ring.used}
    return {address // PAGE for address in {*addresses, *rings}}


def submit(plane: Plane, request: bytes, response: int) -> None:
    plane.guest.control.ring.add([(plane.memory.put(request), len(request))], [(response, 24)])


def test_responses_and_rings_are_marked(plane: Plane) -> None:
    log = Log(plane)
    lib.guest_memory_set_logging(plane.guest_memory, 1)
    response = plane.memory.allocate(2 * PAGE, PAGE) + PAGE - 10
    submit(plane, commands.resource_flush(1, Rectangle(0, 0, 0, 0)), response)
    later = plane.memory.allocate(24, PAGE)
    submit(plane, commands.header(0x999), later)
    assert plane.run() == lib.EXIT_COMMAND
    assert log.pages() == written(plane, response, response + 20)
    plane.respond(plane.exit.chain, 0x1100)
    assert log.pages() == written(plane, later)


def test_nothing_is_marked_unless_logging_was_negotiated(plane: Plane) -> None:
    log = Log(plane)
    request = commands.resource_flush(1, Rectangle(0, 0, 0, 0))
    plane.guest.ask(request)
    assert log.pages() == set()
    lib.guest_memory_set_logging(plane.guest_memory, 1)
    plane.guest.ask(request)
    assert log.pages()
    lib.guest_memory_set_logging(plane.guest_memory, 0)
    plane.guest.ask(request)
    assert log.pages() == set()


def test_pixels_that_are_read_are_not_marked(plane: Plane) -> None:
    resource = plane.guest.create_2d(64, 64)
    log = Log(plane)
    lib.guest_memory_set_logging(plane.guest_memory, 1)
    plane.guest.transfer(resource)
    backing = {address // PAGE for address, _ in resource.entries}
    assert not backing & log.pages()


def test_the_used_ring_is_marked_where_the_vmm_says(plane: Plane) -> None:
    base = plane.stop()
    log, queue, config = Log(plane), plane.guest.control, plane.config()
    lib.guest_memory_set_logging(plane.guest_memory, 1)
    config.log_used, config.log_address = 1, 0x40_0000 + 12
    started = lib.device_queue_start(
        plane.device, config, base, queue.kick_fd, queue.call_fd, queue.err_fd, 0
    )
    assert started == 0
    plane.settle()
    assert 0x400 in log.pages()


def test_a_write_beyond_the_log_is_none_of_its_business(plane: Plane) -> None:
    log = Log(plane)
    with changed(plane.guest_memory) as table:
        table.set_log(log.fd, 1, LOG_OFFSET)
    lib.guest_memory_set_logging(plane.guest_memory, 1)
    plane.settle()
    assert log.pages() == set()


def test_a_log_can_be_replaced_and_taken_away(plane: Plane) -> None:
    first, second = Log(plane), Log(plane)
    lib.guest_memory_set_logging(plane.guest_memory, 1)
    plane.settle()
    assert first.pages() == set()
    assert second.pages()
    with changed(plane.guest_memory) as table:
        table.set_log(-1, 0, 0)
    plane.settle()
    assert second.pages() == set()
