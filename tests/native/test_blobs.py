# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guest blobs: what may be shown of one, by numbers that a guest chooses, and what comes of a flush."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.driver import commands
from tests.driver.commands import Format, Rectangle, ResponseType
from tests.driver.gpu import Blob, Resource
from tests.driver.memory import PAGE
from vgpud.native import ffi, lib

from .plane import Plane
from .test_transfer import converted, noise

U32, U64 = (1 << 32) - 1, (1 << 64) - 1
SIDE_MAX = 32767
FORMATS = sorted(Format)


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    made = Plane()
    yield made
    made.close()


def numbers(most: int) -> st.SearchStrategy[int]:
    """Small ones, those around powers of two, and any."""
    edges = st.builds(
        lambda bit, off: min(max((1 << bit) + off, 0), most),
        st.integers(0, most.bit_length()),
        st.integers(-2, 2),
    )
    return st.one_of(st.integers(0, 300), edges, st.integers(0, most))


u32 = numbers(U32)


@given(
    size=numbers(U64).filter(bool),
    shown=st.tuples(u32, u32, u32, u32),
    width=u32,
    height=u32,
    stride=u32,
    offset=u32,
    format=st.one_of(st.sampled_from(FORMATS), u32),
)
@example(4096, (0, 0, 32, 32), 32, 32, 128, 0, 1)
@example(4096, (0, 0, 32, 32), 32, 32, 128, 1, 1)
@example(4096, (31, 31, 1, 1), 32, 32, 128, 0, 1)
@example(4096, (31, 31, 1, 2), 32, 32, 128, 0, 1)
@example(1 << 40, (0, 0, 1, 1), 32767, 32767, U32, U32, 1)
@example((1 << 47) - 1, (0, 0, 1, 1), 32767, 32767, U32, U32, 1)
@example(U64, (U32, U32, U32, U32), U32, U32, U32, U32, 1)
def test_what_may_be_shown_lies_in_the_blob(
    plane: Plane,
    size: int,
    shown: tuple[int, int, int, int],
    width: int,
    height: int,
    stride: int,
    offset: int,
    format: int,
) -> None:
    x, y, wide, high = shown
    # In Python's numbers, which do not wrap.
    possible = (
        format in FORMATS
        and 0 < width <= SIDE_MAX
        and 0 < height <= SIDE_MAX
        and stride >= 4 * width
        and offset + stride * (height - 1) + 4 * width <= size
        and wide > 0
        and high > 0
        and x + wide <= width
        and y + high <= height
    )
    assert lib.resource_create_blob(plane.device, 1, size) == 0
    surface = ffi.new(
        "struct surface_state *",
        {
            "resource_id": 1,
            "x": x,
            "y": y,
            "width": wide,
            "height": high,
            "surface_width": width,
            "surface_height": height,
            "format": format,
            "stride": stride,
            "offset": offset,
        },
    )
    result = lib.scanout_set_blob(plane.device, 0, surface)
    too_much = possible and 4 * wide * high * 4 > plane.limits["image_bytes"] - (1 << 16)
    assert result in ((0, -errno.ENOMEM) if too_much else (0,) if possible else (-errno.EINVAL,))
    assert lib.resource_unref(plane.device, 1) == 0
    assert plane.state.image_bytes == plane.state.images == 0


def colours(pixels: bytes, width: int, part: Rectangle) -> bytes:
    starts = [((part.y + row) * width + part.x) * 4 for row in range(part.height)]
    return b"".join(pixels[start : start + part.width * 4] for start in starts)


def picture(plane: Plane, blob: Blob, shown: Rectangle, most: int = 1 << 20) -> bytes:
    """As the session takes one for a screenshot."""
    entries = b"".join(
        address.to_bytes(8, "little") + length.to_bytes(8, "little")
        for address, length in blob.entries
    )
    surface = ffi.new("struct surface_state *", plane.state.scanouts[0])
    descriptor = lib.blob_picture_new(
        plane.guest_memory, entries, len(blob.entries), blob.size, surface, most
    )
    assert descriptor >= 0, errno.errorcode[-descriptor]
    mapped = lib.image_map(descriptor, shown.width, shown.height)
    pixels = lib.image_pixels(mapped, shown.width, shown.height)
    copy = bytes(ffi.buffer(pixels, shown.width * shown.height * 4))
    lib.image_unmap(mapped, shown.width, shown.height)
    return copy


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shown", [Rectangle(0, 0, 61, 37), Rectangle(7, 5, 31, 17)])
@pytest.mark.parametrize(("stride", "offset"), [(244, 0), (247, 4099), (4096, 8190)])
def test_a_picture_is_what_the_guest_has_drawn(
    format: Format, shown: Rectangle, stride: int, offset: int
) -> None:
    plane = Plane()
    assert plane.start() == 0
    blob = plane.guest.create_blob(61, 37, format, stride=stride, offset=offset)
    pixels = noise(61 * 37 * 4)
    plane.guest.draw(blob, blob.whole, pixels)
    plane.guest.set_scanout(0, blob, shown)
    expected = colours(converted(pixels, format), 61, shown)
    assert picture(plane, blob, shown) == expected
    with pytest.raises(AssertionError, match="EINVAL"):
        picture(plane, blob, shown, most=shown.width * shown.height * 4 // 4096 * 4096)
    # The backing is less than the blob, in the words of a device process that went mad.
    blob.entries.pop()
    with pytest.raises(AssertionError, match="EFAULT"):
        picture(plane, blob, shown)
    plane.close()


# --- what comes of a flush

WIDTH, HEIGHT = 300, 260  # more than is staged


@pytest.fixture
def fresh() -> Iterator[Plane]:
    made = Plane()
    assert made.start() == 0
    yield made
    made.close()


def draw(plane: Plane, blob: Blob, seed: int, part: Rectangle | None = None) -> bytes:
    area = part or blob.whole
    pixels = noise(area.width * area.height * 4, seed)
    plane.guest.draw(blob, area, pixels)
    return pixels


def shown(plane: Plane) -> list[tuple[int, int, int, int, bytes]]:
    """What has been sent since the last call: where, and its pixels, which are then given back."""
    records = plane.shown()
    found = [(one.x, one.y, one.width, one.height, plane.pixels(one)) for one in records]
    plane.release(*records)
    return found


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("stride", "offset"), [(1200, 0), (1203, 4099)])
def test_a_flush_shows_what_was_drawn(
    fresh: Plane, format: Format, stride: int, offset: int
) -> None:
    blob = fresh.guest.create_blob(WIDTH, HEIGHT, format, stride=stride, offset=offset)
    pixels = converted(draw(fresh, blob, 1), format)
    fresh.guest.show(blob)
    assert shown(fresh) == [(0, 0, WIDTH, HEIGHT, pixels)]
    part = Rectangle(30, 40, 50, 60)
    pixels = converted(draw(fresh, blob, 2, part), format)
    # What was drawn elsewhere was not flushed.
    draw(fresh, blob, 3, Rectangle(200, 200, 9, 9))
    before = int(fresh.state.counters.transfer_bytes)
    fresh.guest.transfer(blob, part)
    fresh.guest.flush(blob, part)
    assert shown(fresh) == [(30, 40, 50, 60, pixels)]
    # Copied from guest memory once, and no more than that.
    assert fresh.state.counters.transfer_bytes - before == 50 * 60 * 4


def test_a_picture_on_its_way_does_not_change(fresh: Plane) -> None:
    blob = fresh.guest.create_blob(WIDTH, HEIGHT)
    sent = []
    for seed in range(2):
        pixels = draw(fresh, blob, seed)
        fresh.guest.show(blob)
        [record] = fresh.shown()
        sent.append((record, pixels))
    # The display has not read any of them, and the guest goes on drawing and flushing.
    for seed in range(2, 6):
        pixels = draw(fresh, blob, seed)
        fresh.guest.flush(blob)
        assert fresh.shown() == []
        assert [fresh.pixels(record) for record, _ in sent] == [was for _, was in sent]
    fresh.release(sent[0][0])
    fresh.settle()
    [record] = fresh.shown()
    assert fresh.pixels(record) == pixels


def test_flips_share_one_picture_and_show_each_its_own(fresh: Plane) -> None:
    blobs = [fresh.guest.create_blob(WIDTH, HEIGHT) for _ in range(2)]
    fresh.guest.show(blobs[0])
    shown(fresh)
    counted = int(fresh.state.image_bytes)
    for turn in range(8):
        blob = blobs[turn % 2]
        pixels = draw(fresh, blob, turn)
        fresh.guest.show(blob)
        assert shown(fresh) == [(0, 0, WIDTH, HEIGHT, pixels)]
    assert (fresh.state.image_bytes, fresh.state.images) == (counted, 1)
    fresh.guest.set_scanout(0, None)
    assert fresh.state.image_bytes == fresh.state.images == 0


def test_the_first_flush_fills_the_picture(fresh: Plane) -> None:
    blob = fresh.guest.create_blob(WIDTH, HEIGHT)
    pixels = draw(fresh, blob, 1)
    fresh.guest.set_scanout(0, blob)
    fresh.guest.flush(blob, Rectangle(5, 5, 2, 2))
    assert [one[:4] for one in shown(fresh)] == [(5, 5, 2, 2)]
    lib.device_repaint(fresh.device)
    assert shown(fresh) == [(0, 0, WIDTH, HEIGHT, pixels)]


def test_images_and_blobs_take_turns(fresh: Plane) -> None:
    blob = fresh.guest.create_blob(WIDTH, HEIGHT)
    image = fresh.guest.create_2d(WIDTH, HEIGHT)
    for turn in range(6):
        resource = (blob, image)[turn % 2]
        pixels = noise(WIDTH * HEIGHT * 4, turn)
        fresh.guest.draw(resource, resource.whole, pixels)
        fresh.guest.show(resource)
        assert shown(fresh) == [(0, 0, WIDTH, HEIGHT, pixels)]
    fresh.guest.unref(blob)
    fresh.guest.unref(image)
    assert fresh.state.image_bytes == fresh.state.images == 0


def test_two_scanouts_show_two_pictures_in_one_blob(fresh: Plane) -> None:
    blob = fresh.guest.create_blob(WIDTH, 2 * HEIGHT)
    pixels = draw(fresh, blob, 1)
    half = WIDTH * HEIGHT * 4
    for scanout in range(2):
        plane = commands.Plane(WIDTH, HEIGHT, blob.format, blob.stride, scanout * half)
        whole = Rectangle(0, 0, WIDTH, HEIGHT)
        request = commands.set_scanout_blob(scanout, blob.resource_id, whole, plane)
        assert fresh.guest.ask(request).ok
    fresh.guest.flush(blob, Rectangle(0, 0, WIDTH, HEIGHT))
    records = fresh.shown()
    found = {record.scanout_id: fresh.pixels(record) for record in records}
    assert found == {0: pixels[:half], 1: pixels[half:]}


def test_a_scanout_may_show_a_part(fresh: Plane) -> None:
    blob = fresh.guest.create_blob(WIDTH, HEIGHT)
    pixels = draw(fresh, blob, 1)
    part = Rectangle(20, 30, 100, 90)
    fresh.guest.set_scanout(0, blob, part)
    fresh.guest.flush(blob)
    assert shown(fresh) == [(0, 0, 100, 90, colours(pixels, WIDTH, part))]
    # A flush that begins before it, and one beside it.
    fresh.guest.flush(blob, Rectangle(0, 0, 25, 33))
    corner = colours(pixels, WIDTH, Rectangle(20, 30, 5, 3))
    assert shown(fresh) == [(0, 0, 5, 3, corner)]
    fresh.guest.flush(blob, Rectangle(0, 0, 20, 30))
    assert shown(fresh) == []


def test_another_process_shows_it_again(fresh: Plane) -> None:
    blob = fresh.guest.create_blob(WIDTH, HEIGHT, Format.R8G8B8X8_UNORM, stride=1300, offset=70)
    draw(fresh, blob, 1)
    part = Rectangle(10, 20, 280, 230)
    fresh.guest.set_scanout(1, blob, part)
    fresh.guest.flush(blob)
    fresh.die()
    entries = b"".join(
        address.to_bytes(8, "little") + length.to_bytes(8, "little")
        for address, length in blob.entries
    )
    assert lib.resource_adopt_blob(fresh.device, blob.resource_id, blob.size) == 0
    attached = lib.resource_attach_backing(
        fresh.device, blob.resource_id, entries, len(blob.entries)
    )
    assert attached == 0
    assert fresh.start(recover=True) == 0
    pixels = converted(draw(fresh, blob, 2), Format.R8G8B8X8_UNORM)
    lib.device_repaint(fresh.device)
    assert shown(fresh) == [(0, 0, 280, 230, colours(pixels, WIDTH, part))]
    assert fresh.guest.flush(blob).type == ResponseType.OK_NODATA


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": 0},
        {"offset": U64},
        {"width": 0},
        {"surface_width": U32},
        {"x": U32},
        {"format": 9},
    ],
)
def test_a_state_that_went_mad_shows_nothing(fresh: Plane, changed: dict[str, int]) -> None:
    blob = fresh.guest.create_blob(WIDTH, HEIGHT)
    fresh.guest.show(blob)
    for name, value in changed.items():
        setattr(fresh.state.scanouts[0], name, value)
    surface = ffi.new("struct surface_state *", fresh.state.scanouts[0])
    assert (
        lib.blob_picture_new(fresh.guest_memory, ffi.NULL, 0, blob.size, surface, U64)
        == -errno.EINVAL
    )
    fresh.die()
    assert lib.resource_adopt_blob(fresh.device, blob.resource_id, blob.size) == 0
    lib.device_repaint(fresh.device)
    assert fresh.state.images == 0


# --- at rest


def host_bytes(plane: Plane) -> int:
    """Of all images that the presenter knows."""
    return sum(os.fstat(fd).st_blocks * 512 for fd in plane.images.values())


def rest(plane: Plane) -> None:
    """A second and a bit, in which nobody wants anything."""
    later = threading.Timer(1.3, lambda: os.write(plane.poke, b"later"))
    later.start()
    assert plane.run() == lib.EXIT_LINK
    later.join()


def keep_busy(plane: Plane, resource: Resource) -> bytes:
    """Every slot of what is shown has been in use."""
    for seed in range(5):
        pixels = noise(WIDTH * HEIGHT * 4, seed)
        plane.guest.draw(resource, resource.whole, pixels)
        plane.guest.show(resource)
        records = plane.shown()
        assert [plane.pixels(record) for record in records] == [pixels]
        if seed < 3:
            plane.release(*records)
    plane.release(*plane.presented[-2:])
    return pixels


@pytest.mark.parametrize("kind", ["2d", "blob"])
def test_a_screen_that_stands_still_gives_its_memory_back(fresh: Plane, kind: str) -> None:
    make = fresh.guest.create_blob if kind == "blob" else fresh.guest.create_2d
    resource = make(WIDTH, HEIGHT)
    one = WIDTH * HEIGHT * 4
    pixels = keep_busy(fresh, resource)
    assert host_bytes(fresh) > 2 * one
    rest(fresh)
    assert host_bytes(fresh) < (0 if kind == "blob" else one) + 3 * PAGE
    # Whatever comes next, the whole picture is right.
    part = Rectangle(7, 8, 20, 20)
    spot = noise(20 * 20 * 4, 99)
    fresh.guest.draw(resource, part, spot)
    fresh.guest.transfer(resource, part)
    fresh.guest.flush(resource, part)
    assert shown(fresh) == [(7, 8, 20, 20, spot)]
    lib.device_repaint(fresh.device)
    [(*_, whole)] = shown(fresh)
    assert colours(whole, WIDTH, Rectangle(0, 100, WIDTH, 160)) == colours(
        pixels, WIDTH, Rectangle(0, 100, WIDTH, 160)
    )
    assert colours(whole, WIDTH, part) == spot


@pytest.mark.parametrize("kind", ["2d", "blob"])
def test_what_a_display_still_reads_stays(fresh: Plane, kind: str) -> None:
    make = fresh.guest.create_blob if kind == "blob" else fresh.guest.create_2d
    resource = make(WIDTH, HEIGHT)
    pixels = noise(WIDTH * HEIGHT * 4)
    fresh.guest.draw(resource, resource.whole, pixels)
    fresh.guest.show(resource)
    records = fresh.shown()
    rest(fresh)
    assert [fresh.pixels(record) for record in records] == [pixels]
    fresh.release(*records)
    rest(fresh)
    assert host_bytes(fresh) < (0 if kind == "blob" else WIDTH * HEIGHT * 4) + 3 * PAGE
