# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guest memory that goes away underneath: SIGBUS."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import pytest

from tests.driver import commands
from tests.driver.commands import Rectangle, ResponseType
from tests.driver.memory import GuestMemory, MiB
from vgpud.native import ffi, lib

from .plane import Plane


def two_files() -> tuple[GuestMemory, int]:
    """The rings in one file, and another region in a second one, which may be cut."""
    memory = GuestMemory(8 * MiB)
    region = memory.add(memory.regions[0].guest_address + (1 << 30), 8 * MiB)
    return memory, region.fd


def test_a_transfer_from_memory_that_shrank_is_a_memory_fault() -> None:
    memory, fd = two_files()
    plane = Plane(memory=memory)
    assert plane.start() == 0
    resource = plane.guest.create_2d(512, 512, backed=False)
    address = memory.regions[1].guest_address
    assert plane.guest.ask(commands.resource_attach_backing(1, [(address, MiB)])).ok
    plane.guest.transfer(resource)
    os.ftruncate(fd, MiB // 2)
    plane.guest.submit(commands.transfer_to_host_2d(1, resource.whole))
    assert plane.run() == lib.EXIT_MEMORY_FAULT
    # The session is over, which is no reason not to end it in order.
    os.write(plane.poke, b"x")
    assert plane.run() == lib.EXIT_LINK
    plane.stop()
    plane.close()


@pytest.mark.parametrize("packed", [False, True])
def test_rings_that_go_are_a_memory_fault(packed: bool) -> None:
    plane = Plane(packed=packed)
    assert plane.start() == 0
    plane.guest.submit(commands.header(0x999))
    assert plane.run() == lib.EXIT_COMMAND
    os.ftruncate(plane.memory.regions[0].fd, 0)
    assert plane.respond(plane.exit.chain, ResponseType.OK_NODATA) == -errno.EFAULT
    assert plane.run() == lib.EXIT_MEMORY_FAULT
    plane.close()


def test_a_queue_in_memory_that_went_does_not_start() -> None:
    plane = Plane()
    os.ftruncate(plane.memory.regions[0].fd, 0)
    assert plane.start() == -errno.EFAULT
    plane.close()


def test_stopping_in_memory_that_went_says_so_and_stops() -> None:
    plane = Plane()
    assert plane.start() == 0
    plane.guest.submit(commands.header(0x999))
    assert plane.run() == lib.EXIT_COMMAND
    os.ftruncate(plane.memory.regions[0].fd, 0)
    base = ffi.new("uint32_t *")
    assert lib.device_queue_stop(plane.device, base) in (0, -errno.EFAULT)
    assert lib.device_queue_stop(plane.device, base) == -errno.EINVAL
    plane.close()


def test_memory_may_go_in_the_middle_of_a_copy() -> None:
    for _ in range(5):
        memory, fd = two_files()
        plane = Plane(memory=memory)
        assert plane.start() == 0
        resource = plane.guest.create_2d(1024, 1024, backed=False)
        address = memory.regions[1].guest_address
        assert plane.guest.ask(commands.resource_attach_backing(1, [(address, 4 * MiB)])).ok
        transfer = commands.transfer_to_host_2d(1, resource.whole)
        for _ in range(30):
            plane.guest.submit(transfer)
        cut = threading.Timer(0.002, os.ftruncate, [fd, 4096])
        cut.start()
        try:
            assert plane.settle() in (0, lib.EXIT_MEMORY_FAULT)
        finally:
            cut.join()
            plane.close()


def test_another_session_does_not_notice() -> None:
    broken, sound = Plane(), Plane()
    assert broken.start() == 0
    assert sound.start() == 0
    os.ftruncate(broken.memory.regions[0].fd, 0)
    request = commands.resource_flush(1, Rectangle(0, 0, 0, 0))
    assert broken.run() == lib.EXIT_MEMORY_FAULT
    assert sound.guest.ask(request).type == ResponseType.ERR_INVALID_RESOURCE_ID
    broken.close()
    sound.close()


ELSEWHERE = """
import mmap, os
from tests.native.plane import Plane
plane = Plane()
plane.start()
plane.settle()
fd = os.memfd_create("elsewhere")
os.ftruncate(fd, 4096)
mapped = mmap.mmap(fd, 4096)
os.ftruncate(fd, 0)
mapped[0]
"""


@pytest.mark.parametrize("options", [[], ["-X", "faulthandler"]])
def test_a_bus_error_elsewhere_ends_the_process_as_ever(options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *options, "-c", ELSEWHERE],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if "AddressSanitizer: BUS" in done.stderr:  # the handler before ours was the sanitizer's
        return
    assert done.returncode == -7
    assert ("Fatal Python error: Bus error" in done.stderr) == bool(options)
