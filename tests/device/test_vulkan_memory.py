# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a library that executes Vulkan in the device process may take of its address space."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vgpud.link import messages

from ..driver import commands, commands_3d
from ..driver.commands import Format
from ..driver.commands_3d import Resource3D
from ..driver.gpu import Guest
from ..driver.memory import GuestMemory, MiB
from .process import DeviceProcess, region_of
from .test_rutabaga_library import build

VULKAN, EACH = 256 * MiB, 16 * MiB

Begin = Callable[..., DeviceProcess]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It takes memory for each resource."""
    return build(tmp_path_factory.mktemp("library"), takes=EACH)


@pytest.fixture
def begin(library: Path) -> Iterator[Begin]:
    """Makes device processes with that library."""
    running: list[DeviceProcess] = []

    def one(capset: str = "gfxstream-vulkan") -> DeviceProcess:
        process = DeviceProcess(
            "gfxstream",
            capsets=(capset,),
            environment=os.environ | {"LD_LIBRARY_PATH": str(library)},
            vulkan_memory=VULKAN,
        )
        running.append(process)
        return process

    yield one
    for process in running:
        process.close()


def bound(process: DeviceProcess) -> int | None:
    """In bytes."""
    limits = Path(f"/proc/{process.process.pid}/limits").read_text().splitlines()
    (line,) = (line for line in limits if line.startswith("Max address space"))
    soft = line.split()[3]
    return None if soft == "unlimited" else int(soft)


def test_it_ends_somewhere(begin: Begin) -> None:
    """The guest is told, and what it has stays."""
    process = begin()
    memory = GuestMemory(4 * MiB)
    guest = Guest(memory, event_idx=True)
    process.share(memory)
    process.start_queue(guest)
    most = (VULKAN + 64 * MiB) // EACH
    made = 0
    while guest.ask(commands_3d.resource_create_3d(made + 1, Resource3D())).ok:
        made += 1
        assert made <= most
    assert made >= VULKAN // EACH // 2
    guest.do(commands.resource_create_2d(made + 2, Format.B8G8R8X8_UNORM, 64, 64))
    guest.close()
    memory.close()


def test_guest_memory_does_not_count(begin: Begin) -> None:
    process = begin()
    alone = bound(process)
    assert alone is not None
    memory, more = GuestMemory(64 * MiB), GuestMemory(32 * MiB, first_address=1 << 32)
    process.share(memory)
    assert bound(process) == alone + 64 * MiB
    (region,) = more.regions
    process.do(messages.AddMemory(region_of(region)), [region.fd])
    assert bound(process) == alone + 96 * MiB
    process.do(messages.RemoveMemory(region_of(region)))
    assert bound(process) == alone + 64 * MiB
    process.share(memory)
    assert bound(process) == alone + 64 * MiB
    memory.close()
    more.close()


def test_without_vulkan_there_is_no_bound(begin: Begin) -> None:
    assert bound(begin("cross-domain")) is None
