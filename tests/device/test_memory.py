# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process refuses a change of guest memory, and goes on with what it had."""

import errno
import os
from collections.abc import Iterator

import pytest

from vgpud.link import messages
from vgpud.link.messages import MemoryRegion

from ..driver.gpu import Guest
from ..driver.memory import GuestMemory, MiB
from .process import DeviceProcess, region_of

FREE = MemoryRegion(1 << 40, MiB, 1 << 41, 0)
TOO_LONG = FREE._replace(guest_address=1 << 42, size=2 * MiB)


@pytest.fixture(scope="module")
def process() -> Iterator[DeviceProcess]:
    with DeviceProcess() as process:
        yield process


@pytest.fixture
def guest(process: DeviceProcess) -> Iterator[Guest]:
    memory = GuestMemory(4 * MiB)
    guest = Guest(memory)
    process.share(memory)
    process.start_queue(guest)
    yield guest
    process.stop_queue()
    process.do(messages.Reset())
    guest.close()
    memory.close()


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = os.memfd_create("file")
    os.ftruncate(descriptor, MiB)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("regions", "error"),
    [
        ([FREE, FREE], errno.EEXIST),
        ([TOO_LONG], errno.EINVAL),
        ([FREE, TOO_LONG, FREE._replace(guest_address=0)], errno.EINVAL),
    ],
    ids=["overlapping", "too short a file", "the second of three"],
)
def test_a_table_that_is_refused_leaves_the_one_before(
    process: DeviceProcess, guest: Guest, file: int, regions: list[MemoryRegion], error: int
) -> None:
    reply = process.request(messages.SetMemory(tuple(regions)), [file] * len(regions))
    assert isinstance(reply, messages.Refused)
    assert reply.error == error
    assert guest.display_info().ok
    guest.show(guest.create_2d(16, 16))


def test_regions_and_logs_that_are_refused_change_nothing(
    process: DeviceProcess, guest: Guest, file: int
) -> None:
    known = region_of(guest.memory.regions[0])
    for refused, descriptors in (
        (messages.AddMemory(known), [guest.memory.regions[0].fd]),
        (messages.AddMemory(TOO_LONG), [file]),
        (messages.RemoveMemory(FREE), []),
        (messages.SetLog(2 * MiB, 0), [file]),
    ):
        assert isinstance(process.request(refused, descriptors), messages.Refused)
        assert guest.display_info().ok


def test_what_was_refused_can_be_had_later(process: DeviceProcess, guest: Guest, file: int) -> None:
    for _ in range(2):
        refused = process.request(messages.SetMemory((FREE, TOO_LONG)), [file, file])
        assert isinstance(refused, messages.Refused)
        process.do(messages.AddMemory(FREE), [file])
        process.do(messages.RemoveMemory(FREE))
    assert guest.display_info().ok
