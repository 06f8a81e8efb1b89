# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""TRANSFER_TO_HOST_2D: pixels from the guest's scattered memory into an image."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator

import pytest

from tests.driver import commands
from tests.driver.commands import Format, Rectangle, ResponseType
from tests.driver.gpu import Resource
from tests.driver.memory import PAGE, GuestMemory, MiB, Scattered
from vgpud.native import ffi, lib

from .plane import Plane
from .tables import changed, described

OK = ResponseType.OK_NODATA
INVALID = ResponseType.ERR_INVALID_PARAMETER

# Where B, G, R, A are found in a pixel of each format; None: there is no alpha, it is opaque.
COMPONENTS: dict[Format, tuple[int, int, int, int | None]] = {
    Format.B8G8R8A8_UNORM: (0, 1, 2, 3),
    Format.B8G8R8X8_UNORM: (0, 1, 2, 3),  # copied as it is
    Format.A8R8G8B8_UNORM: (3, 2, 1, 0),
    Format.X8R8G8B8_UNORM: (3, 2, 1, None),
    Format.R8G8B8A8_UNORM: (2, 1, 0, 3),
    Format.X8B8G8R8_UNORM: (1, 2, 3, None),
    Format.A8B8G8R8_UNORM: (1, 2, 3, 0),
    Format.R8G8B8X8_UNORM: (2, 1, 0, None),
}


@pytest.fixture
def plane() -> Iterator[Plane]:
    made = Plane()
    assert made.start() == 0
    yield made
    made.close()


def image(plane: Plane, resource: Resource) -> bytes:
    """The newest pixels of a resource, as another process would read them."""
    fd = lib.resource_image_fd(plane.device, resource.resource_id)
    slot = int.from_bytes(os.pread(fd, 4, 0), "little")
    size = resource.stride * resource.height
    return os.pread(fd, size, PAGE + slot * -(-size // PAGE) * PAGE)


def converted(pixels: bytes, pixel_format: Format) -> bytes:
    out = bytearray(len(pixels))
    for target, source in enumerate(COMPONENTS[pixel_format]):
        out[target::4] = b"\xff" * (len(pixels) // 4) if source is None else pixels[source::4]
    return bytes(out)


def noise(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


def transfer(plane: Plane, resource: Resource, rectangle: Rectangle, offset: int = 0) -> int:
    request = commands.transfer_to_host_2d(resource.resource_id, rectangle, offset)
    return plane.guest.ask(request).type


@pytest.mark.parametrize("pixel_format", list(Format))
@pytest.mark.parametrize("width", [1, 3, 61, 640])
def test_every_format_becomes_blue_green_red_alpha(
    plane: Plane, pixel_format: Format, width: int
) -> None:
    resource = plane.guest.create_2d(width, 37, pixel_format)
    pixels = noise(resource.stride * resource.height)
    plane.guest.draw(resource, resource.whole, pixels)
    plane.guest.transfer(resource)
    assert image(plane, resource) == converted(pixels, pixel_format)


@pytest.mark.parametrize("pixel_format", [0, 5, 66, 135, 1 << 31])
def test_other_formats_do_not_exist(plane: Plane, pixel_format: int) -> None:
    request = commands.resource_create_2d(1, pixel_format, 8, 8)
    assert plane.guest.ask(request).type == INVALID


@pytest.mark.parametrize("pixel_format", [Format.B8G8R8X8_UNORM, Format.X8B8G8R8_UNORM])
@pytest.mark.parametrize("seed", range(4))
def test_backing_may_be_cut_anywhere(plane: Plane, pixel_format: Format, seed: int) -> None:
    """Into pieces of odd lengths, down to single bytes, so that pixels lie in several."""
    chance = random.Random(seed)
    width, height = 23, 11
    resource = plane.guest.create_2d(width, height, pixel_format, backed=False)
    left, pieces = width * height * 4, []
    while left:
        length = min(left, chance.choice([1, 2, 3, 5, 64, 257]))
        plane.memory.allocate(chance.randrange(1, 40), 1)
        pieces.append((plane.memory.allocate(length, 1), length))
        left -= length
    chance.shuffle(pieces)
    assert plane.guest.ask(commands.resource_attach_backing(1, pieces)).type == OK
    pixels = noise(width * height * 4, seed)
    Scattered(plane.memory, pieces).write(0, pixels)
    assert transfer(plane, resource, resource.whole) == OK
    assert image(plane, resource) == converted(pixels, pixel_format)
    # Backwards as well: a look-up is not always where the last one was.
    for y in reversed(range(height)):
        assert transfer(plane, resource, Rectangle(0, y, width, 1), y * width * 4) == OK
    assert image(plane, resource) == converted(pixels, pixel_format)


def test_only_the_rectangle_is_written(plane: Plane) -> None:
    resource = plane.guest.create_2d(100, 50)
    old, new = noise(20000, 1), noise(20000, 2)
    plane.guest.draw(resource, resource.whole, old)
    plane.guest.transfer(resource)
    plane.guest.draw(resource, resource.whole, new)
    plane.guest.transfer(resource, Rectangle(10, 20, 30, 5))
    expected = bytearray(old)
    for y in range(20, 25):
        start = y * 400 + 40
        expected[start : start + 120] = new[start : start + 120]
    assert image(plane, resource) == expected


def test_the_offset_is_where_the_rectangle_begins_in_the_backing(plane: Plane) -> None:
    resource = plane.guest.create_2d(16, 16)
    pixels = noise(1024)
    plane.guest.draw(resource, resource.whole, pixels)
    assert transfer(plane, resource, Rectangle(3, 4, 5, 6), 128) == OK
    rows = image(plane, resource)
    for y in range(6):
        start = (4 + y) * 64 + 12
        assert rows[start : start + 20] == pixels[128 + y * 64 : 128 + y * 64 + 20]


def test_one_byte_too_little_backing_is_refused(plane: Plane) -> None:
    resource = plane.guest.create_2d(16, 16)
    for rectangle, offset in (
        (resource.whole, 4096 - 1024 + 1),
        (Rectangle(0, 0, 1, 1), 4093),
        (Rectangle(0, 15, 16, 1), 4033),
        (Rectangle(0, 0, 1, 1), (1 << 64) - 4),
        (Rectangle(0, 0, 16, 16), (1 << 64) - 1),
    ):
        assert transfer(plane, resource, rectangle, offset) == INVALID
    assert transfer(plane, resource, resource.whole, 4096 - 1024) == OK
    assert transfer(plane, resource, Rectangle(0, 0, 1, 1), 4092) == OK


@pytest.mark.parametrize(
    "rectangle",
    [
        Rectangle(0, 0, 17, 1),
        Rectangle(0, 0, 1, 17),
        Rectangle(16, 0, 1, 1),
        Rectangle(1, 0, 16, 1),
        Rectangle(0xFFFFFFFF, 0, 1, 1),
        Rectangle(1, 0, 0xFFFFFFFF, 1),
        Rectangle(0, 0xFFFFFFF0, 16, 0x20),
    ],
)
def test_a_rectangle_outside_the_resource_is_refused(plane: Plane, rectangle: Rectangle) -> None:
    resource = plane.guest.create_2d(16, 16)
    assert transfer(plane, resource, rectangle) == INVALID
    request = commands.resource_flush(resource.resource_id, rectangle)
    assert plane.guest.ask(request).type == INVALID


def test_an_empty_rectangle_is_no_mistake(plane: Plane) -> None:
    resource = plane.guest.create_2d(16, 16)
    for rectangle in (Rectangle(0, 0, 0, 0), Rectangle(16, 16, 0, 0), Rectangle(3, 3, 0, 5)):
        assert transfer(plane, resource, rectangle) == OK
        assert plane.guest.ask(commands.resource_flush(1, rectangle)).type == OK


def test_a_resource_without_backing_has_nothing_to_transfer(plane: Plane) -> None:
    resource = plane.guest.create_2d(16, 16, backed=False)
    assert transfer(plane, resource, resource.whole) == ResponseType.ERR_UNSPEC
    plane.guest.attach(resource)
    assert transfer(plane, resource, resource.whole) == OK
    plane.guest.detach(resource)
    assert transfer(plane, resource, resource.whole) == ResponseType.ERR_UNSPEC


def test_a_resource_that_does_not_exist_is_told_so(plane: Plane) -> None:
    resource = plane.guest.create_2d(16, 16)
    plane.guest.unref(resource)
    gone = ResponseType.ERR_INVALID_RESOURCE_ID
    assert transfer(plane, resource, resource.whole) == gone
    assert plane.guest.ask(commands.resource_flush(1, resource.whole)).type == gone
    assert plane.guest.ask(commands.resource_unref(1)).type == gone
    assert plane.guest.ask(commands.resource_detach_backing(1)).type == gone


def test_backing_may_lie_in_two_regions_and_go_over_their_border() -> None:
    memory = GuestMemory(4 * MiB)
    border = memory.regions[0].guest_address + 4 * MiB
    memory.add(border, 4 * MiB)
    plane = Plane(memory=memory)
    assert plane.start() == 0
    resource = plane.guest.create_2d(64, 64, backed=False)
    address = border - 5001
    pixels = noise(16384)
    memory.write(address, pixels[:5001])
    memory.write(border, pixels[5001:])
    attach = commands.resource_attach_backing(1, [(address, 16384)])
    assert plane.guest.ask(attach).type == OK
    assert transfer(plane, resource, resource.whole) == OK
    assert image(plane, resource) == pixels
    # Without the second region it is gone, and only that.
    second = memory.regions[1]
    with changed(plane.guest_memory) as table:
        table.remove(described(second))
    assert lib.device_lost_backings(plane.device) == 1
    assert lib.device_lost_backings(plane.device) == 0
    assert transfer(plane, resource, resource.whole) == ResponseType.ERR_UNSPEC
    plane.close()


def test_backing_that_moved_is_found_again(plane: Plane) -> None:
    resource = plane.guest.create_2d(64, 64)
    pixels = noise(16384)
    plane.guest.draw(resource, resource.whole, pixels)
    plane.share()
    assert lib.device_lost_backings(plane.device) == 0
    plane.guest.transfer(resource)
    assert image(plane, resource) == pixels


@pytest.mark.parametrize(
    ("address", "length"), [(0, PAGE), (0x10_0000 + 32 * MiB - 4, 8), ((1 << 64) - 4, 8)]
)
def test_backing_outside_memory_is_refused(plane: Plane, address: int, length: int) -> None:
    plane.guest.create_2d(16, 16, backed=False)
    attach = commands.resource_attach_backing(1, [(0x10_0000, PAGE), (address, length)])
    assert plane.guest.ask(attach).type == ResponseType.ERR_UNSPEC
    assert plane.guest.ask(commands.resource_detach_backing(1)).type != OK


def test_empty_backing_entries_count_for_nothing(plane: Plane) -> None:
    resource = plane.guest.create_2d(16, 16, backed=False)
    entries = [(0, 0), (plane.memory.allocate(PAGE), PAGE), (1 << 63, 0)]
    assert plane.guest.ask(commands.resource_attach_backing(1, entries)).type == OK
    assert transfer(plane, resource, resource.whole) == OK
    plane.guest.detach(resource)
    assert plane.guest.ask(commands.resource_attach_backing(1, [])).type == OK
    assert transfer(plane, resource, resource.whole) == INVALID


def test_a_resource_has_one_backing(plane: Plane) -> None:
    resource = plane.guest.create_2d(16, 16)
    entries = ffi.from_buffer(bytes(16))
    attached = lib.resource_attach_backing(plane.device, resource.resource_id, entries, 1)
    assert attached == -errno.EBUSY


# --- quotas


def test_images_are_within_their_quota() -> None:
    plane = Plane(image_bytes=3 * (MiB + PAGE))
    assert plane.start() == 0
    create = [commands.resource_create_2d(each, 1, 512, 512) for each in range(1, 5)]
    assert [plane.guest.ask(request).type for request in create] == [
        *[OK] * 3,
        ResponseType.ERR_OUT_OF_MEMORY,
    ]
    assert plane.guest.ask(commands.resource_unref(2)).type == OK
    assert plane.guest.ask(create[3]).type == OK
    plane.close()


def test_what_is_shown_counts_as_often_as_it_may_be_kept() -> None:
    plane = Plane(image_bytes=5 * MiB + 2 * PAGE)
    assert plane.start() == 0
    first, second = (plane.guest.create_2d(512, 512) for _ in range(2))
    plane.guest.show(first)  # four slots of 1 MiB
    request = commands.set_scanout(1, second.resource_id, second.whole)
    assert plane.guest.ask(request).type == ResponseType.ERR_OUT_OF_MEMORY
    # Hidden and given back by the presenter, the spare slots are taken from it.
    plane.guest.set_scanout(0, None)
    assert plane.guest.ask(request).type == ResponseType.ERR_OUT_OF_MEMORY
    plane.release(*plane.shown())
    assert plane.guest.ask(request).type == OK
    plane.close()


def test_the_number_of_resources_is_limited() -> None:
    plane = Plane(resources=3)
    assert plane.start() == 0
    create = [commands.resource_create_2d(each, 1, 8, 8) for each in (1, 2, 3, 4)]
    answers = [plane.guest.ask(request).type for request in create]
    assert answers == [OK, OK, OK, ResponseType.ERR_OUT_OF_MEMORY]
    plane.close()


def test_backing_entries_are_limited() -> None:
    plane = Plane(backing_entries=10)
    assert plane.start() == 0
    page = plane.memory.allocate(PAGE)
    for _ in range(2):
        plane.guest.create_2d(8, 8, backed=False)
    attach = [commands.resource_attach_backing(each, [(page, PAGE)] * 6) for each in (1, 2)]
    assert plane.guest.ask(attach[0]).type == OK
    assert plane.guest.ask(attach[1]).type == ResponseType.ERR_OUT_OF_MEMORY
    assert plane.guest.ask(commands.resource_detach_backing(1)).type == OK
    assert plane.guest.ask(attach[1]).type == OK
    plane.close()


@pytest.mark.parametrize(("width", "height"), [(0, 8), (8, 0), (0, 0)])
def test_a_resource_has_pixels(plane: Plane, width: int, height: int) -> None:
    assert plane.guest.ask(commands.resource_create_2d(1, 1, width, height)).type == INVALID


@pytest.mark.parametrize("side", [32768, 1 << 16, (1 << 32) - 1])
def test_a_resource_of_any_size_is_no_danger(plane: Plane, side: int) -> None:
    for width, height in ((side, 1), (1, side), (side, side)):
        request = commands.resource_create_2d(1, 1, width, height)
        assert plane.guest.ask(request).type == ResponseType.ERR_OUT_OF_MEMORY


def test_resources_are_told_apart_whatever_their_numbers_are(plane: Plane) -> None:
    chance = random.Random(3)
    wanted = {chance.getrandbits(32) | 1 for _ in range(60)}
    for resource_id in wanted:
        assert lib.resource_create_2d(plane.device, resource_id, 1, 4, 4) == 0
        assert lib.resource_create_2d(plane.device, resource_id, 1, 4, 4) == -errno.EEXIST
    assert lib.resource_create_2d(plane.device, 0, 1, 4, 4) == -errno.EEXIST
    images = {lib.resource_image_fd(plane.device, resource_id) for resource_id in wanted}
    assert len(images) == len(wanted)
    for resource_id in wanted:
        assert lib.resource_unref(plane.device, resource_id) == 0
        assert lib.resource_image_fd(plane.device, resource_id) == -errno.ENOENT


def test_a_device_that_does_not_draw_checks_all_the_same() -> None:
    plane = Plane(draws=False)
    assert plane.start() == 0
    resource = plane.guest.create_2d(16, 16)
    plane.guest.fill(resource, b"abcd")
    plane.guest.show(resource)
    assert image(plane, resource) == bytes(1024)
    assert transfer(plane, resource, Rectangle(0, 0, 17, 1)) == INVALID
    assert plane.shown() == []
    plane.close()
