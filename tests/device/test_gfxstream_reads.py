# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How often a texture is read for the screen: gfxstream copies all of one whatever part is wanted."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..driver import commands, commands_3d
from ..driver.commands import Format, Rectangle
from ..driver.commands_3d import Resource3D
from ..driver.gpu import Guest
from ..driver.memory import GuestMemory, MiB
from .images import newest_pixels
from .process import DeviceProcess
from .test_rutabaga_library import build

WIDTH, HEIGHT = 1920, 1080
BYTES = WIDTH * HEIGHT * 4
WHOLE = Rectangle(0, 0, WIDTH, HEIGHT)
TEXTURE = 1


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[tuple[Guest, DeviceProcess]]:
    """With a library that writes the number of the read into every pixel."""
    memory = GuestMemory(16 * MiB)
    guest = Guest(memory, event_idx=True)
    process = DeviceProcess(
        "gfxstream",
        capsets=("gfxstream-vulkan",),
        environment=os.environ | {"LD_LIBRARY_PATH": str(build(tmp_path))},
    )
    process.share(memory)
    process.start_queue(guest)
    yield guest, process
    process.close()
    guest.close()
    memory.close()


@pytest.mark.parametrize("format", [Format.B8G8R8X8_UNORM, Format.R8G8B8A8_UNORM])
def test_a_flush_reads_once(guest: tuple[Guest, DeviceProcess], format: Format) -> None:
    driver, process = guest
    driver.do(
        commands_3d.resource_create_3d(
            TEXTURE, Resource3D(format=format, width=WIDTH, height=HEIGHT)
        )
    )
    driver.do(
        commands.resource_attach_backing(TEXTURE, [(driver.memory.allocate(BYTES, 4096), BYTES)])
    )
    driver.do(commands.set_scanout(0, TEXTURE, WHOLE))
    driver.do(commands.resource_flush(TEXTURE, WHOLE))
    before = set(newest_pixels(process.image(TEXTURE), WIDTH, HEIGHT)[::4])
    driver.do(commands.resource_flush(TEXTURE, WHOLE))
    after = set(newest_pixels(process.image(TEXTURE), WIDTH, HEIGHT)[::4])
    assert (len(before), len(after)) == (1, 1)
    assert after == {before.pop() + 1}
