# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Host blobs on the screen: what was drawn in the library's memory, what may be shown of it, and what is left when it is lost."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.driver import commands
from tests.driver.commands import BLOB_MEM_HOST3D, Format, Rectangle, ResponseType
from tests.driver.gpu import Blob
from tests.driver.memory import PAGE, MiB
from vgpud.native import ffi, lib, made

from .plane import Plane
from .test_blobs import colours, host_bytes, rest, shown
from .test_transfer import converted, noise

CTX = 1
U32 = (1 << 32) - 1
WIDTH, HEIGHT = 300, 260  # more than is staged
SHAREABLE = 2
OK = ResponseType.OK_NODATA


class VulkanPlane(Plane):
    """Its library makes memory that others map, and shows what they have drawn there."""

    def _connect(self) -> None:
        super()._connect()
        assert lib.device_set_library(self.device, made(lib.null_library_open())) == 0
        assert lib.context_create(self.device, CTX, 0, b"", 0) == 0


@dataclass
class HostBlob(Blob):
    """``drawn`` is its memory, as the guest has it."""

    drawn: mmap.mmap | None = None

    def draw(self, seed: int, part: Rectangle | None = None) -> bytes:
        """Noise, which is given back."""
        assert self.drawn is not None
        area = part or self.whole
        row = area.width * 4
        pixels = noise(row * area.height, seed)
        for y in range(area.height):
            start = self.offset + (area.y + y) * self.stride + area.x * 4
            self.drawn[start : start + row] = pixels[y * row : (y + 1) * row]
        return pixels


def create(plane: Plane, number: int, size: int, flags: int = commands.BLOB_FLAG_MAPPABLE) -> int:
    fields = {
        "resource_id": number,
        "ctx_id": CTX,
        "blob_mem": BLOB_MEM_HOST3D,
        "blob_flags": flags,
        "size": size,
    }
    blob = ffi.new("struct host_blob *", fields)
    result: int = lib.resource_create_host_blob(plane.device, blob, ffi.NULL, 0)
    return result


def host_blob(
    plane: Plane,
    number: int,
    width: int = WIDTH,
    height: int = HEIGHT,
    pixel_format: Format = Format.B8G8R8X8_UNORM,
    *,
    stride: int | None = None,
    offset: int = 0,
) -> HostBlob:
    """One with room for such a framebuffer."""
    blob = HostBlob(number, pixel_format, width, height, [], stride or width * 4, offset)
    assert create(plane, number, blob.size) == 0
    file = ffi.new("struct blob_file *")
    assert lib.host_blob_export(plane.device, number, file) == 0
    blob.drawn = mmap.mmap(file.fd, blob.size)
    os.close(file.fd)
    return blob


def surface(blob: Blob, area: Rectangle, **changed: int) -> Any:
    plane = blob.plane
    fields = {
        "resource_id": blob.resource_id,
        "x": area.x,
        "y": area.y,
        "width": area.width,
        "height": area.height,
        "surface_width": plane.width,
        "surface_height": plane.height,
        "format": plane.format,
        "stride": plane.stride,
        "offset": plane.offset,
    }
    return ffi.new("struct surface_state *", fields | changed)


def picture(plane: Plane, scanout_id: int) -> Any | None:
    """What the session is told of it."""
    found = ffi.new("struct scanout_picture *")
    result = lib.scanout_picture(plane.device, scanout_id, found)
    assert (result == 0) == bool(lib.scanouts_with_pictures(plane.device) >> scanout_id & 1)
    return found if result == 0 else None


def newest(found: Any) -> bytes:
    """The pixels that somebody sees who has an image's descriptor."""
    mapped = lib.image_map(found.fd, found.width, found.height)
    pixels = lib.image_pixels(mapped, found.width, found.height)
    copy = bytes(ffi.buffer(pixels, found.width * found.height * 4))
    lib.image_unmap(mapped, found.width, found.height)
    return copy


@pytest.fixture
def plane() -> Iterator[VulkanPlane]:
    started = VulkanPlane(blob_bytes=64 * MiB, contexts=4)
    assert started.start() == 0
    yield started
    started.close()


@pytest.mark.parametrize("pixel_format", sorted(Format))
@pytest.mark.parametrize(("stride", "offset"), [(1200, 0), (1203, 4099)])
def test_a_flush_shows_what_was_drawn(
    plane: VulkanPlane, pixel_format: Format, stride: int, offset: int
) -> None:
    blob = host_blob(plane, 1, pixel_format=pixel_format, stride=stride, offset=offset)
    pixels = converted(blob.draw(1), pixel_format)
    plane.guest.set_scanout(0, blob)
    plane.guest.flush(blob)
    assert shown(plane) == [(0, 0, WIDTH, HEIGHT, pixels)]
    part = Rectangle(30, 40, 50, 60)
    pixels = converted(blob.draw(2, part), pixel_format)
    # What was drawn elsewhere was not flushed.
    blob.draw(3, Rectangle(200, 200, 9, 9))
    before = int(plane.state.counters.transfer_bytes)
    plane.guest.flush(blob, part)
    assert shown(plane) == [(30, 40, 50, 60, pixels)]
    assert plane.state.counters.transfer_bytes - before == 50 * 60 * 4


def test_a_scanout_may_show_a_part(plane: VulkanPlane) -> None:
    blob = host_blob(plane, 1)
    pixels = blob.draw(1)
    part = Rectangle(20, 30, 100, 90)
    plane.guest.set_scanout(1, blob, part)
    plane.guest.flush(blob)
    assert shown(plane) == [(0, 0, 100, 90, colours(pixels, WIDTH, part))]
    plane.guest.flush(blob, Rectangle(0, 0, 25, 33))
    corner = colours(pixels, WIDTH, Rectangle(20, 30, 5, 3))
    assert shown(plane) == [(0, 0, 5, 3, corner)]


def test_the_last_byte_may_be_shown_and_none_beyond(plane: VulkanPlane) -> None:
    blob = host_blob(plane, 1, 31, 17, stride=131, offset=77)
    area = Rectangle(0, 0, 31, 17)
    assert lib.scanout_set_blob(plane.device, 0, surface(blob, area)) == 0
    beyond = [
        {"offset": 78},
        {"stride": 132},
        {"stride": 31 * 4 - 1},
        {"stride": U32},
        {"offset": (1 << 64) - 1},
        {"offset": (1 << 64) - 131 * 17},
        {"surface_height": 18},
        {"surface_width": 34},
        {"surface_width": U32, "stride": U32},
        {"surface_width": 0},
        {"format": 9},
        {"format": 0},
        {"width": 32},
        {"x": U32},
        {"width": 0},
    ]
    for changed in beyond:
        asked = surface(blob, area, **changed)
        assert lib.scanout_set_blob(plane.device, 0, asked) == -errno.EINVAL, changed
    # What was shown before is shown yet.
    assert plane.state.scanouts[0].resource_id == 1


def test_a_blob_need_not_be_mappable_by_the_guest_to_be_shown(plane: VulkanPlane) -> None:
    assert create(plane, 1, WIDTH * HEIGHT * 4, SHAREABLE) == 0
    blob = HostBlob(1, Format.B8G8R8X8_UNORM, WIDTH, HEIGHT, [], WIDTH * 4, 0)
    plane.guest.set_scanout(0, blob)
    plane.guest.flush(blob)
    assert shown(plane) == [(0, 0, WIDTH, HEIGHT, bytes(WIDTH * HEIGHT * 4))]


def test_a_picture_on_its_way_does_not_change(plane: VulkanPlane) -> None:
    blob = host_blob(plane, 1)
    plane.guest.set_scanout(0, blob)
    sent = []
    for seed in range(2):
        pixels = blob.draw(seed)
        plane.guest.flush(blob)
        [record] = plane.shown()
        sent.append((record, pixels))
    for seed in range(2, 6):
        pixels = blob.draw(seed)
        plane.guest.flush(blob)
        assert plane.shown() == []
        assert [plane.pixels(record) for record, _ in sent] == [was for _, was in sent]
    plane.release(sent[0][0])
    plane.settle()
    [record] = plane.shown()
    assert plane.pixels(record) == pixels


def test_blobs_of_all_kinds_take_turns(plane: VulkanPlane) -> None:
    """What the session has of it comes and goes with host blobs."""
    host = host_blob(plane, 1001)
    other = host_blob(plane, 1002)
    guest = plane.guest.create_blob(WIDTH, HEIGHT)
    image = plane.guest.create_2d(WIDTH, HEIGHT)
    for turn in range(12):
        resource = (host, guest, other, host, image, other)[turn % 6]
        if isinstance(resource, HostBlob):
            pixels = resource.draw(turn)
        else:
            pixels = noise(WIDTH * HEIGHT * 4, turn)
            plane.guest.draw(resource, resource.whole, pixels)
            plane.guest.transfer(resource)
        plane.guest.set_scanout(0, resource)
        plane.guest.flush(resource)
        assert shown(plane) == [(0, 0, WIDTH, HEIGHT, pixels)]
        found = picture(plane, 0)
        assert (found is not None) == isinstance(resource, HostBlob)
        assert found is None or newest(found) == pixels
    plane.guest.set_scanout(0, host)
    for one in (host, other, guest, image):
        plane.guest.unref(one)
    assert picture(plane, 0) is None
    assert plane.state.image_bytes == plane.state.images == 0


def test_a_screen_at_rest_keeps_its_picture_and_no_room_for_another(plane: VulkanPlane) -> None:
    """The blob may be lost meanwhile."""
    one = WIDTH * HEIGHT * 4
    blob = host_blob(plane, 1)
    plane.guest.set_scanout(0, blob)
    for seed in range(5):
        pixels = blob.draw(seed)
        plane.guest.flush(blob)
        records = plane.shown()
        assert [plane.pixels(record) for record in records] == [pixels]
        if seed < 3:
            plane.release(*records)
    plane.release(*plane.presented[-2:])
    assert host_bytes(plane) > 2 * one
    rest(plane)
    assert host_bytes(plane) < one + 3 * PAGE
    found = picture(plane, 0)
    assert newest(found) == pixels


def test_who_looks_before_the_first_flush_sees_what_is_in_the_blob(plane: VulkanPlane) -> None:
    blob = host_blob(plane, 1)
    pixels = blob.draw(1)
    plane.guest.set_scanout(0, blob)
    found = picture(plane, 0)
    assert newest(found) == bytes(len(pixels))
    assert lib.scanout_read_back(plane.device, 0) == 0
    assert newest(found) == pixels
    # Later he sees what was flushed, as the display does.
    blob.draw(2)
    assert lib.scanout_read_back(plane.device, 0) == 0
    assert newest(found) == pixels


def test_the_quotas_count_pictures_and_not_what_is_mapped(plane: VulkanPlane) -> None:
    big = 4 * MiB
    blobs = [host_blob(plane, number, 1024, 1024) for number in range(1, 5)]
    for blob in blobs:
        plane.guest.set_scanout(0, blob)
        plane.guest.flush(blob)
    assert PAGE + 4 * big <= plane.state.image_bytes < 5 * big
    # Each blob holds a descriptor of the library's, and the scanout one for its picture.
    assert plane.state.images == len(blobs) + 1
    for blob in blobs:
        plane.guest.unref(blob)
    assert plane.state.image_bytes == plane.state.images == 0


def test_a_picture_beyond_the_quota_is_not_shown() -> None:
    plane = VulkanPlane(blob_bytes=64 * MiB, contexts=4, image_bytes=MiB)
    assert plane.start() == 0
    blob = host_blob(plane, 1, 1024, 1024)
    request = commands.set_scanout_blob(0, 1, blob.whole, blob.plane)
    assert plane.guest.ask(request).type == ResponseType.ERR_OUT_OF_MEMORY
    assert plane.state.scanouts[0].resource_id == 0
    plane.close()


# --- what is lost


def lose(plane: VulkanPlane, blob: HostBlob, **changed: int) -> int:
    """The process dies, and the next is told of the blob and of what was shown of it; what it says to that."""
    found = picture(plane, 0)
    assert found is not None
    fd = os.dup(found.fd)
    size = {"width": found.width, "height": found.height} | changed
    plane.die()
    assert lib.resource_adopt_host_blob(plane.device, blob.resource_id, blob.size) == 0
    result: int = lib.scanout_adopt_picture(
        plane.device, changed.get("scanout_id", 0), size["width"], size["height"], fd
    )
    os.close(fd)
    assert plane.start(recover=True) == 0
    return result


def test_the_screen_stays_as_it_was_when_the_blob_is_lost(plane: VulkanPlane) -> None:
    blob = host_blob(plane, 1, pixel_format=Format.R8G8B8A8_UNORM, stride=1300, offset=70)
    pixels = converted(blob.draw(1), Format.R8G8B8A8_UNORM)
    part = Rectangle(10, 20, 280, 230)
    plane.guest.set_scanout(0, blob, part)
    plane.guest.flush(blob)
    shown(plane)
    assert lose(plane, blob) == 0
    lib.device_repaint(plane.device)
    expected = colours(pixels, WIDTH, part)
    assert shown(plane) == [(0, 0, 280, 230, expected)]
    # Nothing more can come of it, and all can be got rid of.
    unspec = ResponseType.ERR_UNSPEC
    assert plane.guest.ask(commands.resource_flush(1, blob.whole)).type == unspec
    request = commands.set_scanout_blob(0, 1, blob.whole, blob.plane)
    assert plane.guest.ask(request).type == unspec
    assert newest(picture(plane, 0)) == expected
    plane.guest.unref(blob)
    assert plane.state.scanouts[0].resource_id == 0
    assert plane.state.image_bytes == plane.state.images == 0


def test_what_comes_after_a_lost_blob_is_shown_whole(plane: VulkanPlane) -> None:
    blob = host_blob(plane, 1)
    blob.draw(1)
    plane.guest.set_scanout(0, blob)
    plane.guest.flush(blob)
    assert lose(plane, blob) == 0
    lib.device_repaint(plane.device)
    shown(plane)
    after = host_blob(plane, 2)
    pixels = after.draw(2)
    plane.guest.set_scanout(0, after)
    plane.guest.flush(after)
    assert shown(plane) == [(0, 0, WIDTH, HEIGHT, pixels)]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"width": WIDTH - 1}, errno.EINVAL),
        ({"height": HEIGHT + 1}, errno.EINVAL),
        ({"width": U32, "height": U32}, errno.EINVAL),
        ({"scanout_id": 1}, errno.ENOENT),
        ({"scanout_id": 2}, errno.ENODEV),
        ({"scanout_id": U32}, errno.ENODEV),
    ],
)
def test_a_picture_that_was_not_shown_is_not_taken(
    plane: VulkanPlane, changed: dict[str, int], error: int
) -> None:
    blob = host_blob(plane, 1)
    plane.guest.set_scanout(0, blob)
    plane.guest.flush(blob)
    assert lose(plane, blob, **changed) == -error
    assert plane.state.scanouts[0].resource_id == 0
    assert plane.state.image_bytes == plane.state.images == 0
    plane.guest.unref(blob)


def test_a_file_that_is_no_image_is_not_taken(plane: VulkanPlane) -> None:
    blob = host_blob(plane, 1)
    plane.guest.set_scanout(0, blob)
    plane.guest.flush(blob)
    plane.die()
    assert lib.resource_adopt_host_blob(plane.device, 1, blob.size) == 0
    fd = os.memfd_create("no image")
    assert lib.scanout_adopt_picture(plane.device, 0, WIDTH, HEIGHT, fd) == -errno.EINVAL
    os.close(fd)
    assert plane.start(recover=True) == 0
    assert plane.state.scanouts[0].resource_id == 0
