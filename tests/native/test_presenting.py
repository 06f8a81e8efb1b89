# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device's end of the present channel: what a flush sends, keeps, merges and sends later."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from tests.driver import commands
from tests.driver.commands import Rectangle, ResponseType
from tests.driver.gpu import Resource
from tests.driver.memory import MiB
from vgpud.native import lib

from .device_end import Kind, Record
from .plane import Plane

SMALL = (64, 64)  # copied
LARGE = (512, 256)  # by reference: half a MiB


@pytest.fixture
def plane() -> Iterator[Plane]:
    made = Plane()
    assert made.start() == 0
    yield made
    made.close()


def shown(plane: Plane, size: tuple[int, int], scanout_id: int = 0) -> Resource:
    """A resource on a scanout, flushed once, with the presenter up to date."""
    resource = plane.guest.create_2d(*size)
    plane.guest.show(resource, scanout_id)
    plane.release(*plane.shown())
    return resource


def flip(plane: Plane, resource: Resource, pixel: bytes) -> None:
    """A whole new picture."""
    plane.guest.fill(resource, pixel)
    plane.guest.transfer(resource)
    plane.guest.flush(resource)


def colours(plane: Plane, record: Record) -> set[bytes]:
    pixels = plane.pixels(record)
    return {pixels[i : i + 4] for i in range(0, len(pixels), 4)}


def rectangle(record: Record) -> tuple[int, int, int, int]:
    return record.x, record.y, record.width, record.height


# --- what comes


def test_the_staging_ring_comes_first(plane: Plane) -> None:
    assert plane.records()[0].kind == Kind.STAGING


def test_the_size_of_a_scanout_comes_before_its_pixels(plane: Plane) -> None:
    resource = plane.guest.create_2d(*SMALL)
    plane.guest.show(resource)
    kinds = [record.kind for record in plane.records()]
    assert kinds == [Kind.STAGING, Kind.SCANOUT, Kind.STAGED]
    size = plane.presented[1].scanout_width, plane.presented[1].scanout_height
    assert size == SMALL


def test_a_scanout_of_the_same_size_is_not_announced_again(plane: Plane) -> None:
    shown(plane, SMALL)
    other = plane.guest.create_2d(*SMALL)
    plane.guest.show(other)
    assert [record.kind for record in plane.records()] == [Kind.STAGED]


def test_a_disabled_scanout_is_announced_with_no_width(plane: Plane) -> None:
    shown(plane, SMALL)
    plane.guest.set_scanout(0, None)
    (record,) = plane.records()
    assert (record.kind, record.scanout_width, record.scanout_height) == (Kind.SCANOUT, 0, 0)


def test_a_resource_that_goes_disables_the_scanouts_that_show_it(plane: Plane) -> None:
    resource = shown(plane, SMALL)
    plane.guest.set_scanout(1, resource)
    plane.records()
    plane.guest.unref(resource)
    assert [(record.kind, record.scanout_width) for record in plane.records()] == [
        (Kind.SCANOUT, 0)
    ] * 2
    assert [plane.state.scanouts[each].resource_id for each in (0, 1)] == [0, 0]


def test_nothing_is_sent_of_what_nobody_shows(plane: Plane) -> None:
    resource = plane.guest.create_2d(*SMALL)
    plane.guest.transfer(resource)
    plane.guest.flush(resource)
    assert [record.kind for record in plane.records()] == [Kind.STAGING]


def test_a_scanout_that_was_set_shows_nothing_before_a_flush(plane: Plane) -> None:
    resource = plane.guest.create_2d(*SMALL)
    plane.guest.set_scanout(0, resource)
    plane.guest.transfer(resource)
    assert plane.shown() == []


def test_only_the_flushed_rectangle_is_sent(plane: Plane) -> None:
    resource = shown(plane, SMALL)
    plane.guest.fill(resource, b"\1\2\3\4")
    plane.guest.transfer(resource)
    plane.guest.flush(resource, Rectangle(3, 5, 7, 11))
    (record,) = plane.shown()
    assert rectangle(record) == (3, 5, 7, 11)
    assert colours(plane, record) == {b"\1\2\3\4"}


def test_a_scanout_may_show_a_part_of_a_resource(plane: Plane) -> None:
    resource = plane.guest.create_2d(*LARGE)
    plane.guest.set_scanout(0, resource, Rectangle(100, 50, 40, 30))
    plane.guest.draw(resource, Rectangle(100, 50, 1, 1), b"\1\2\3\4")
    plane.guest.transfer(resource)
    plane.guest.flush(resource)
    (record,) = plane.shown()
    assert rectangle(record) == (0, 0, 40, 30)
    assert plane.pixels(record) == b"\1\2\3\4" + bytes(40 * 30 * 4 - 4)
    plane.guest.flush(resource, Rectangle(0, 0, 110, 60))
    assert rectangle(*plane.shown()) == (0, 0, 10, 10)
    plane.guest.flush(resource, Rectangle(0, 0, 100, 50))
    assert plane.shown() == []


def test_every_scanout_that_shows_a_resource_gets_its_part(plane: Plane) -> None:
    resource = plane.guest.create_2d(*SMALL)
    plane.guest.set_scanout(0, resource)
    plane.guest.set_scanout(1, resource, Rectangle(32, 32, 32, 32))
    plane.guest.flush(resource, Rectangle(30, 30, 10, 10))
    first, second = plane.shown()
    assert (first.scanout_id, rectangle(first)) == (0, (30, 30, 10, 10))
    assert (second.scanout_id, rectangle(second)) == (1, (0, 0, 8, 8))


@pytest.mark.parametrize("scanout_id", [2, 16, 1 << 31])
def test_a_scanout_that_does_not_exist_cannot_be_set(plane: Plane, scanout_id: int) -> None:
    plane.guest.create_2d(*SMALL)
    for resource_id in (0, 1):
        request = commands.set_scanout(scanout_id, resource_id, Rectangle(0, 0, 64, 64))
        assert plane.guest.ask(request).type == ResponseType.ERR_INVALID_SCANOUT_ID


@pytest.mark.parametrize(
    "wrong", [Rectangle(0, 0, 0, 64), Rectangle(1, 0, 64, 64), Rectangle(0, 0, 1, 1 << 31)]
)
def test_a_scanout_lies_in_its_resource(plane: Plane, wrong: Rectangle) -> None:
    plane.guest.create_2d(*SMALL)
    answer = plane.guest.ask(commands.set_scanout(0, 1, wrong))
    assert answer.type == ResponseType.ERR_INVALID_PARAMETER


# --- by reference


def test_the_descriptor_comes_with_the_first_record_of_an_image(plane: Plane) -> None:
    resource = plane.guest.create_2d(*LARGE)
    plane.guest.show(resource)
    plane.guest.flush(resource)
    first, second = plane.shown()
    assert first.kind == second.kind == Kind.IMAGE
    assert first.image_id == second.image_id
    assert list(plane.images) == [first.image_id]  # _keep() refuses a second one


def test_a_picture_that_is_being_sent_does_not_change(plane: Plane) -> None:
    resource = shown(plane, LARGE)
    flip(plane, resource, b"aaaa")
    (first,) = plane.shown()
    flip(plane, resource, b"bbbb")
    (second,) = plane.shown()
    plane.guest.fill(resource, b"cccc")
    plane.guest.transfer(resource)
    assert colours(plane, first) == {b"aaaa"}
    assert colours(plane, second) == {b"bbbb"}


def test_two_pictures_are_on_their_way_and_the_newest_waits(plane: Plane) -> None:
    resource = shown(plane, LARGE)
    for pixel in (b"1111", b"2222", b"3333", b"4444", b"5555"):
        flip(plane, resource, pixel)
    first, second = plane.shown()
    assert colours(plane, first) == {b"1111"}
    assert colours(plane, second) == {b"2222"}
    plane.guest.fill(resource, b"6666")
    plane.guest.transfer(resource)  # not flushed
    plane.release(first)
    plane.settle()
    (third,) = plane.shown()
    assert colours(plane, second) == {b"2222"}
    assert colours(plane, third) == {b"5555"}


def test_what_waits_is_sent_without_another_command(plane: Plane) -> None:
    """The device sleeps, and the presenter's word wakes it."""
    resource = shown(plane, LARGE)
    for pixel in (b"1111", b"2222", b"3333"):
        flip(plane, resource, pixel)
    first, _ = plane.shown()
    plane.release(first)
    timer = threading.Timer(0.2, plane.guest.control.submit, [commands.header(0x999)])
    timer.start()
    assert plane.run() == lib.EXIT_COMMAND
    timer.join()
    (third,) = plane.shown()
    assert colours(plane, third) == {b"3333"}


def test_damage_that_waits_is_merged(plane: Plane) -> None:
    resource = shown(plane, LARGE)
    flip(plane, resource, b"1111")
    flip(plane, resource, b"2222")
    pinned = plane.shown()
    plane.guest.flush(resource, Rectangle(0, 0, 512, 140))
    plane.guest.flush(resource, Rectangle(10, 200, 20, 20))
    assert plane.shown() == []
    plane.release(*pinned)
    plane.settle()
    (record,) = plane.shown()
    assert rectangle(record) == (0, 0, 512, 220)


def test_a_partial_transfer_keeps_the_rest_of_a_picture_that_moved(plane: Plane) -> None:
    resource = shown(plane, LARGE)
    flip(plane, resource, b"aaaa")
    (held,) = plane.shown()
    plane.guest.fill(resource, b"bbbb")
    plane.guest.transfer(resource, Rectangle(0, 0, 512, 10))
    plane.guest.transfer(resource, Rectangle(0, 20, 100, 10))
    plane.guest.flush(resource)
    (record,) = plane.shown()
    assert record.slot != held.slot
    pixels = plane.pixels(record)
    row = 512 * 4
    assert pixels[: 10 * row] == b"bbbb" * 5120
    assert pixels[10 * row : 20 * row] == b"aaaa" * 5120
    assert pixels[20 * row : 20 * row + 400] == b"bbbb" * 100
    assert pixels[20 * row + 400 : 21 * row] == b"aaaa" * 412
    assert pixels[30 * row :] == b"aaaa" * (226 * 512)
    assert colours(plane, held) == {b"aaaa"}


def test_slots_that_went_stale_catch_up(plane: Plane) -> None:
    """Each small change on top of a picture that is held leads through all slots, and none lacks anything."""
    resource = shown(plane, LARGE)
    expected = [b"\0\0\0\0"] * 256
    held: list[Record] = []
    for step in range(24):
        pixel = bytes([step + 1]) * 4
        y = step * 7 % 250
        area = Rectangle(0, y, 512, 3)
        plane.guest.draw(resource, area, pixel * (512 * 3))
        plane.guest.transfer(resource, area)
        plane.guest.flush(resource)
        expected[y : y + 3] = [pixel] * 3
        (record,) = plane.shown()
        assert plane.pixels(record) == b"".join(pixel * 512 for pixel in expected)
        held.append(record)
        if len(held) == 2:
            plane.release(held.pop(0))


def test_images_of_two_resources_flip_without_a_copy(plane: Plane) -> None:
    """As Linux does it; each stays in its first slot when the presenter keeps up."""
    resources = [shown(plane, LARGE) for _ in range(2)]
    slots = set()
    for step in range(8):
        resource = resources[step % 2]
        pixel = bytes([step + 1]) * 4
        plane.guest.fill(resource, pixel)
        plane.guest.transfer(resource)
        plane.guest.set_scanout(0, resource)
        plane.guest.flush(resource)
        (record,) = plane.shown()
        assert colours(plane, record) == {pixel}
        slots.add(record.slot)
        plane.release(record)
    assert slots == {0}


def test_damage_of_a_resource_that_was_replaced_is_shown_with_the_next(plane: Plane) -> None:
    old = shown(plane, LARGE)
    flip(plane, old, b"1111")
    flip(plane, old, b"2222")
    pinned = plane.shown()
    plane.guest.flush(old, Rectangle(0, 0, 512, 150))
    new = plane.guest.create_2d(*LARGE)
    plane.guest.fill(new, b"nnnn")
    plane.guest.transfer(new)
    plane.guest.set_scanout(0, new)
    plane.release(*pinned)
    plane.settle()
    assert plane.shown() == []
    plane.guest.flush(new, Rectangle(0, 200, 8, 8))
    (record,) = plane.shown()
    assert rectangle(record) == (0, 0, 512, 208)
    assert colours(plane, record) == {b"nnnn"}


def test_a_resource_may_go_while_it_is_being_sent(plane: Plane) -> None:
    resource = shown(plane, LARGE)
    flip(plane, resource, b"aaaa")
    (record,) = plane.shown()
    fd = plane.images[record.image_id]
    kept = os.dup(fd)
    plane.guest.unref(resource)
    assert Kind.FORGET in [each.kind for each in plane.records()]
    plane.images[record.image_id] = kept
    assert colours(plane, record) == {b"aaaa"}
    plane.release(record)
    other = shown(plane, LARGE)
    flip(plane, other, b"bbbb")
    (record,) = plane.shown()
    assert colours(plane, record) == {b"bbbb"}


def test_the_presenter_never_knows_more_images_than_it_wants() -> None:
    plane = Plane(image_bytes=512 * MiB, resources=200)
    assert plane.start() == 0
    resources = [plane.guest.create_2d(*LARGE, backed=False) for _ in range(80)]
    for resource in resources + resources[:10]:
        plane.guest.set_scanout(0, resource)
        plane.guest.flush(resource)
        plane.release(*plane.shown())
        assert len(plane.images) <= 64
    plane.close()


# --- a slow presenter


def test_small_damage_is_merged_when_the_staging_ring_is_full(plane: Plane) -> None:
    resource = shown(plane, LARGE)
    flip(plane, resource, b"aaaa")
    plane.release(*plane.shown())
    sent = 0
    for _ in range(100):
        plane.guest.flush(resource, Rectangle(0, 0, 256, 128))  # 128 KiB
        sent += len(plane.shown())
        if plane.state.counters.deferred > 5:
            break
    assert sent == 32  # 4 MiB
    assert plane.guest.flush(resource, Rectangle(256, 128, 1, 1)).ok
    plane.channel.send(Record(Kind.CONSUMED, position=1 << 60).pack())  # more than there was
    plane.settle()
    assert plane.shown() == []
    last = [record for record in plane.presented if record.kind == Kind.STAGED][-1]
    plane.release(last)
    plane.settle()
    (record,) = plane.shown()
    assert rectangle(record) == (0, 0, 257, 129)


def test_positions_in_the_staging_ring_grow_and_pieces_never_wrap(plane: Plane) -> None:
    resource = shown(plane, (200, 100))
    end = 0
    waiting: list[Record] = []
    for step in range(300):
        height = 1 + step % 100
        pixel = bytes([step % 250 + 1]) * 4
        plane.guest.fill(resource, pixel)
        plane.guest.transfer(resource)
        plane.guest.flush(resource, Rectangle(0, 0, 200, height))
        for record in plane.shown():
            size = 800 * record.height
            assert record.position >= end
            assert record.position % (4 * MiB) + size <= 4 * MiB
            assert colours(plane, record) == {pixel}
            end = record.position + size
            waiting.append(record)
        if len(waiting) > 20:
            plane.release(waiting[-5])
            del waiting[:-4]


def test_a_full_channel_loses_nothing(plane: Plane) -> None:
    resource = shown(plane, SMALL)
    while plane.state.counters.deferred == 0:
        plane.guest.flush(resource, Rectangle(0, 0, 1, 1))
    plane.guest.fill(resource, b"last")
    plane.guest.transfer(resource)
    assert plane.guest.flush(resource).ok
    plane.shown()  # the presenter reads again
    plane.settle()
    record = plane.shown()[-1]
    assert rectangle(record) == (0, 0, 64, 64)
    assert colours(plane, record) == {b"last"}


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_guest_goes_on_when_the_presenter_has_gone(plane: Plane, size: tuple[int, int]) -> None:
    resource = shown(plane, size)
    plane.channel.close()
    for _ in range(5):
        flip(plane, resource, b"aaaa")
    plane.guest.set_scanout(0, None)
    plane.guest.unref(resource)


def test_nonsense_from_the_presenter_is_harmless(plane: Plane) -> None:
    resource = shown(plane, LARGE)
    flip(plane, resource, b"aaaa")
    (record,) = plane.shown()
    for kind in range(10):
        for slot in (record.slot, 3, 4, 1 << 31):
            for image_id in (0, record.image_id, 77):
                nonsense = Record(kind, 1 << 20, image_id=image_id, slot=slot, position=1 << 63)
                plane.channel.send(nonsense.pack())
    plane.channel.send(b"short")
    flip(plane, resource, b"bbbb")
    flip(plane, resource, b"cccc")
    plane.settle()
    assert colours(plane, record) == {b"aaaa"}


# --- a new display


def test_a_repaint_shows_every_scanout_whole(plane: Plane) -> None:
    large = shown(plane, LARGE)
    small = shown(plane, SMALL, 1)
    flip(plane, large, b"LLLL")
    flip(plane, small, b"ssss")
    plane.release(*plane.shown())
    lib.device_repaint(plane.device)
    records = plane.records()
    assert [(record.kind, record.scanout_id) for record in records] == [
        (Kind.SCANOUT, 0),
        (Kind.IMAGE, 0),
        (Kind.SCANOUT, 1),
        (Kind.STAGED, 1),
    ]
    assert rectangle(records[1]) == (0, 0, *LARGE)
    assert colours(plane, records[1]) == {b"LLLL"}
    assert colours(plane, records[3]) == {b"ssss"}


def test_a_reset_disables_scanouts_and_forgets_resources(plane: Plane) -> None:
    resource = shown(plane, LARGE)
    flip(plane, resource, b"aaaa")
    plane.stop()
    lib.device_reset(plane.device)
    kinds = [record.kind for record in plane.records()]
    assert kinds == [Kind.IMAGE, Kind.SCANOUT, Kind.FORGET]
    plane.guest.fresh_rings()
    assert plane.start() == 0
    shown(plane, LARGE)
