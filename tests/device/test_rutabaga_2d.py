# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Textures of the real librutabaga_gfx_ffi: what a guest transfers is what is shown, and no more than was flushed."""

import os
from collections.abc import Iterator

import pytest

from ..driver import commands, commands_3d, rutabaga
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.commands_3d import Box, Command3D, Resource3D
from ..driver.gpu import Guest
from ..driver.memory import PAGE, GuestMemory, MiB, Scattered
from .images import newest_pixels
from .process import DeviceProcess
from .rutabaga_2d import PROGRAM

pytestmark = pytest.mark.skipif(rutabaga.folder() is None, reason=rutabaga.NOT_BUILT)

OK = ResponseType.OK_NODATA
WIDTH, HEIGHT = 40, 24
WHOLE = Rectangle(0, 0, WIDTH, HEIGHT)


class Machine:
    """A guest with one texture, in single pages out of order."""

    def __init__(self, format: int = Format.B8G8R8A8_UNORM) -> None:
        self.memory = GuestMemory(16 * MiB)
        self.guest = Guest(self.memory)
        self.process = DeviceProcess(
            "gfxstream", program=PROGRAM, environment=rutabaga.environment()
        )
        self.process.share(self.memory)
        self.process.start_queue(self.guest)
        entries = [
            (page, PAGE) for page in self.memory.allocate_pages(-(-WIDTH * HEIGHT * 4 // PAGE))
        ]
        self.backing = Scattered(self.memory, entries)
        resource = Resource3D(format=format, width=WIDTH, height=HEIGHT)
        self.do(
            commands_3d.resource_create_3d(1, resource),
            commands.resource_attach_backing(1, entries),
            commands.set_scanout(0, 1, WHOLE),
        )

    def do(self, *requests: bytes) -> None:
        for request in requests:
            assert self.guest.ask(request).type == OK

    def transfer(self, x: int, y: int, width: int, height: int) -> None:
        box = Box(x, y, 0, width, height, 1)
        offset = (y * WIDTH + x) * 4
        self.do(commands_3d.transfer_3d(Command3D.TRANSFER_TO_HOST_3D, 1, box, offset=offset))

    @property
    def picture(self) -> bytes:
        return newest_pixels(self.process.image(1), WIDTH, HEIGHT)

    def close(self) -> None:
        self.process.close()
        self.guest.close()
        self.memory.close()


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    machine = Machine(getattr(request, "param", Format.B8G8R8A8_UNORM))
    yield machine
    machine.close()


def part(pixels: bytes, x: int, y: int, width: int, height: int) -> bytes:
    rows = (pixels[(row * WIDTH + x) * 4 :][: width * 4] for row in range(y, y + height))
    return b"".join(rows)


def test_what_is_transferred_is_shown(machine: Machine) -> None:
    pixels = os.urandom(WIDTH * HEIGHT * 4)
    machine.backing.write(0, pixels)
    machine.transfer(0, 0, WIDTH, HEIGHT)
    machine.do(commands.resource_flush(1, WHOLE))
    assert machine.picture == pixels


@pytest.mark.parametrize(
    "machine", [Format.R8G8B8A8_UNORM, Format.B8G8R8A8_UNORM], indirect=True
)  # one that is converted, by whole rows, and one that is read in place
def test_no_more_is_read_back_than_the_flushed_rectangle(machine: Machine) -> None:
    pixels = os.urandom(WIDTH * HEIGHT * 4)
    machine.backing.write(0, pixels)
    machine.transfer(0, 0, WIDTH, HEIGHT)
    machine.do(commands.resource_flush(1, WHOLE))
    before = machine.picture
    machine.backing.write(0, b"\x20" * len(pixels))
    machine.transfer(0, 0, WIDTH, HEIGHT)
    machine.do(commands.resource_flush(1, Rectangle(3, 5, 11, 7)))
    after = machine.picture
    assert part(after, 3, 5, 11, 7) == b"\x20" * (11 * 7 * 4)
    assert part(after, 0, 0, WIDTH, 5) == part(before, 0, 0, WIDTH, 5)
    assert part(after, 0, 5, 3, 19) == part(before, 0, 5, 3, 19)
    assert part(after, 14, 5, 26, 19) == part(before, 14, 5, 26, 19)
    assert part(after, 0, 12, WIDTH, 12) == part(before, 0, 12, WIDTH, 12)


def test_a_part_is_transferred_from_where_it_lies(machine: Machine) -> None:
    pixels = os.urandom(WIDTH * HEIGHT * 4)
    machine.backing.write(0, pixels)
    machine.transfer(7, 2, 20, 9)
    machine.do(commands.resource_flush(1, WHOLE))
    assert part(machine.picture, 7, 2, 20, 9) == part(pixels, 7, 2, 20, 9)
    assert not any(part(machine.picture, 0, 0, WIDTH, 2))


@pytest.mark.parametrize(
    "box",
    [Box(0, 0, 0, WIDTH + 1, 1, 1), Box(0xFFFFFFFF, 0, 0, 2, 1, 1), Box(0, HEIGHT, 0, 1, 1, 1)],
)
def test_a_box_outside_is_refused(machine: Machine, box: Box) -> None:
    request = commands_3d.transfer_3d(Command3D.TRANSFER_TO_HOST_3D, 1, box, offset=0)
    assert machine.guest.ask(request).type == ResponseType.ERR_UNSPEC
    machine.transfer(0, 0, WIDTH, HEIGHT)


def test_without_a_capability_set_there_are_no_contexts(machine: Machine) -> None:
    assert machine.guest.ask(commands_3d.ctx_create(1)).type != OK
    assert not machine.process.started.host_blobs
