# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The cursor virtqueue: what a driver asks for is what QEMU's display is told (VIRTIO 1.2, 5.7.6.10)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.driver.commands import move_cursor, update_cursor
from tests.driver.display import Cursor, Display
from tests.driver.waiting import readable
from vgpud.native import lib

from .cursor_end import CursorEnd
from .presenting import Presenting, noise
from .tables import share

FENCED = 1


@pytest.fixture(params=[False, True], ids=["split", "packed"])
def cursor(request: pytest.FixtureRequest, presenting: Presenting) -> Iterator[CursorEnd]:
    cursor = CursorEnd(presenting, packed=request.param)
    yield cursor
    cursor.close()


def shown(cursor: CursorEnd, scanout_id: int = 0) -> Cursor:
    display = cursor.presenting.display
    assert display.wait_for(lambda: scanout_id in display.cursors)
    return display.cursors[scanout_id]


def response_type(cursor: CursorEnd, request: bytes) -> int:
    pending = cursor.submit(request, 24)
    assert cursor.run() == lib.CURSOR_IDLE
    response, length = cursor.queue.wait(pending)
    assert length == 24
    return int.from_bytes(response[:4], "little")


def field(pixels: bytes, width: int, height: int) -> bytes:
    """``pixels`` at the top left of a transparent square of 64."""
    seen = min(width, 64) * 4
    rows = [pixels[y * width * 4 :][:seen].ljust(256, b"\0") for y in range(min(height, 64))]
    return b"".join(rows).ljust(64 * 64 * 4, b"\0")


def test_a_picture_is_shown_where_and_how_the_driver_said(cursor: CursorEnd) -> None:
    pixels = noise(64, 64)
    cursor.image(7, 64, 64, pixels)
    pending = cursor.submit(update_cursor(1, 100, 200, 7, 3, 4))
    assert cursor.run() == lib.CURSOR_IDLE
    assert cursor.done(pending)
    assert shown(cursor, 1) == Cursor(1, 100, 200, True, 3, 4, pixels)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (24, 24), (64, 7), (65, 64), (300, 200)])
def test_a_picture_of_another_size_lies_at_the_top_left_or_is_cut_off(
    cursor: CursorEnd, width: int, height: int
) -> None:
    pixels = noise(width, height)
    cursor.image(7, width, height, pixels)
    cursor.submit(update_cursor(0, 0, 0, 7))
    cursor.run()
    assert shown(cursor).pixels == field(pixels, width, height)


def test_the_newest_slot_is_shown(cursor: CursorEnd) -> None:
    pixels = noise(64, 64)
    cursor.image(7, 64, 64, pixels, slot=3)
    cursor.submit(update_cursor(0, 0, 0, 7))
    cursor.run()
    assert shown(cursor).pixels == pixels


@pytest.mark.parametrize("slot", [4, 2**31, 2**32 - 1])
def test_a_slot_that_does_not_exist_reads_nothing_outside_the_image(
    cursor: CursorEnd, slot: int
) -> None:
    image = cursor.image(7, 64, 64, noise(64, 64))
    image.pixels[0:4] = slot.to_bytes(4, "little")
    cursor.submit(update_cursor(0, 0, 0, 7))
    assert cursor.run() == lib.CURSOR_IDLE
    assert len(shown(cursor).pixels) == 64 * 64 * 4


def test_a_hot_spot_beyond_the_picture_is_brought_back(cursor: CursorEnd) -> None:
    cursor.image(7, 64, 64, noise(64, 64))
    cursor.submit(update_cursor(0, 0, 0, 7, 2**32 - 1, 64))
    cursor.run()
    assert (shown(cursor).hot_x, shown(cursor).hot_y) == (63, 63)


def test_resource_0_hides_and_a_move_does_not_show_again(cursor: CursorEnd) -> None:
    cursor.image(7, 64, 64, noise(64, 64))
    for request in (update_cursor(0, 1, 1, 7), update_cursor(0, 2, 2, 0), move_cursor(0, 3, 3, 7)):
        cursor.submit(request)
    cursor.run()
    display = cursor.presenting.display
    # The presenter may send what came before the move separately, or the picture at the place of
    # the move.
    assert display.wait_for(
        lambda: (
            0 in display.cursors
            and (display.cursors[0].x, display.cursors[0].y, display.cursors[0].visible)
            == (3, 3, False)
        )
    )


def test_a_move_needs_no_resource(cursor: CursorEnd) -> None:
    """The other fields are ignored: what is shown stays shown."""
    cursor.image(7, 64, 64, noise(64, 64))
    cursor.submit(update_cursor(0, 1, 1, 7))
    cursor.submit(move_cursor(0, 9, 8, 0))
    cursor.run()
    display = cursor.presenting.display
    assert display.wait_for(lambda: 0 in display.cursors and display.cursors[0].x == 9)
    assert display.cursors[0].visible


def test_commands_come_back_with_a_response_where_there_is_room(cursor: CursorEnd) -> None:
    cursor.image(7, 64, 64, noise(64, 64))
    assert response_type(cursor, update_cursor(0, 0, 0, 7)) == 0x1100
    assert response_type(cursor, move_cursor(0, 0, 0)) == 0x1100
    assert response_type(cursor, update_cursor(2, 0, 0, 7)) == 0x1202
    assert response_type(cursor, move_cursor(2**32 - 1, 0, 0)) == 0x1202
    assert response_type(cursor, move_cursor(0, 0, 0)[:55]) == 0x1200
    assert response_type(cursor, b"\0") == 0x1200
    unknown = (0x0302).to_bytes(4, "little") + move_cursor(0, 0, 0)[4:]
    assert response_type(cursor, unknown) == 0x1200


def test_a_response_too_small_for_a_header_is_left_alone(cursor: CursorEnd) -> None:
    pending = cursor.submit(move_cursor(0, 0, 0), 23)
    cursor.run()
    response, length = cursor.queue.wait(pending)
    assert (response, length) == (bytes(23), 0)


def test_a_fence_comes_back(cursor: CursorEnd) -> None:
    fenced = bytearray(move_cursor(0, 0, 0))
    fenced[4:20] = (FENCED).to_bytes(4, "little") + (0x1234567890).to_bytes(8, "little") + bytes(4)
    pending = cursor.submit(bytes(fenced), 24)
    cursor.run()
    response, _ = cursor.queue.wait(pending)
    assert response[:20] == (0x1100).to_bytes(4, "little") + fenced[4:20]


def test_an_image_that_comes_late_is_waited_for(cursor: CursorEnd) -> None:
    pending = cursor.submit(update_cursor(0, 5, 6, 9))
    cursor.submit(move_cursor(0, 7, 8))
    assert cursor.run() == lib.CURSOR_UNKNOWN_IMAGE
    assert cursor.unknown == 9
    assert not cursor.done(pending)
    pixels = noise(64, 64)
    cursor.image(9, 64, 64, pixels)
    assert cursor.run() == lib.CURSOR_IDLE
    assert cursor.done(pending)
    display = cursor.presenting.display
    assert display.wait_for(lambda: 0 in display.cursors and display.cursors[0].x == 7)
    assert display.cursors[0] == Cursor(0, 7, 8, True, 0, 0, pixels)


def test_an_image_that_never_comes_is_the_drivers_mistake(cursor: CursorEnd) -> None:
    pending = cursor.submit(update_cursor(0, 5, 6, 9), 24)
    assert cursor.run() == lib.CURSOR_UNKNOWN_IMAGE
    assert cursor.run() == lib.CURSOR_IDLE
    response, _ = cursor.queue.wait(pending)
    assert int.from_bytes(response[:4], "little") == 0x1203


def test_stopping_answers_what_waits_for_its_image(cursor: CursorEnd) -> None:
    pending = cursor.submit(update_cursor(0, 5, 6, 9), 24)
    assert cursor.run() == lib.CURSOR_UNKNOWN_IMAGE
    cursor.stop()
    response, _ = cursor.queue.wait(pending)
    assert int.from_bytes(response[:4], "little") == 0x1200


def test_a_removed_image_is_unknown(cursor: CursorEnd) -> None:
    cursor.image(7, 64, 64, noise(64, 64))
    assert lib.cursor_image_remove(cursor.cursor, 7) == 0
    assert lib.cursor_image_remove(cursor.cursor, 7) == -2
    cursor.submit(update_cursor(0, 0, 0, 7))
    assert cursor.run() == lib.CURSOR_UNKNOWN_IMAGE


def test_many_images_are_told_apart(cursor: CursorEnd) -> None:
    """Resource ids that fall into the same bucket as well."""
    image = cursor.image(1, 8, 8, noise(8, 8))
    for resource_id in range(257, 4000, 256):
        assert lib.cursor_image_add(cursor.cursor, resource_id, 8, 8, image.fd) == 0
    assert lib.cursor_image_add(cursor.cursor, 513, 8, 8, image.fd) == -17
    for resource_id in range(257, 4000, 512):
        assert lib.cursor_image_remove(cursor.cursor, resource_id) == 0
    cursor.submit(update_cursor(0, 0, 0, 513))
    assert cursor.run() == lib.CURSOR_IDLE
    cursor.submit(update_cursor(0, 0, 0, 257))
    assert cursor.run() == lib.CURSOR_UNKNOWN_IMAGE


@pytest.mark.parametrize(
    ("width", "height"), [(0, 8), (8, 0), (9, 8), (8, 9), (32768, 1), (2**32 - 1, 2**32 - 1)]
)
def test_an_image_that_is_not_of_its_size_is_refused(
    cursor: CursorEnd, width: int, height: int
) -> None:
    image = cursor.image(1, 64, 64, noise(64, 64))
    result = lib.cursor_image_add(cursor.cursor, 2, width, height, image.fd)
    assert result == -22


def test_it_stops_and_goes_on_where_it_was(cursor: CursorEnd) -> None:
    for x in range(100):
        pending = cursor.submit(move_cursor(0, x, 0))
        assert cursor.run() == lib.CURSOR_IDLE
        assert cursor.done(pending)
        cursor.start(cursor.stop())
    display = cursor.presenting.display
    assert display.wait_for(lambda: 0 in display.cursors and display.cursors[0].x == 99)


def test_a_queue_that_is_not_enabled_is_left_alone_and_its_kick_taken(cursor: CursorEnd) -> None:
    lib.cursor_queue_set_enabled(cursor.cursor, 0)
    pending = cursor.submit(move_cursor(0, 1, 1))
    cursor.queue.kick()
    assert cursor.run() == lib.CURSOR_IDLE
    assert not cursor.done(pending)
    assert not readable(lib.cursor_queue_kick_fd(cursor.cursor))
    lib.cursor_queue_set_enabled(cursor.cursor, 1)
    assert cursor.run() == lib.CURSOR_IDLE
    assert cursor.done(pending)


def test_a_broken_ring_is_reported_once_and_left_alone(presenting: Presenting) -> None:
    cursor = CursorEnd(presenting)
    cursor.queue.ring.set_avail_idx(1000)  # type: ignore[attr-defined]
    assert cursor.run() == lib.CURSOR_QUEUE_BROKEN
    assert cursor.queue.errored()
    assert cursor.run() == lib.CURSOR_IDLE
    cursor.close()


def test_guest_memory_that_shrinks_ends_the_queue_only(cursor: CursorEnd) -> None:
    cursor.submit(move_cursor(0, 1, 1))
    os.ftruncate(cursor.guest.regions[0].fd, 0)
    assert cursor.run() == lib.CURSOR_MEMORY_FAULT
    assert cursor.queue.errored()
    assert cursor.run() == lib.CURSOR_IDLE


def test_a_ring_whose_region_goes_is_broken(cursor: CursorEnd) -> None:
    cursor.submit(move_cursor(0, 1, 1))
    share(cursor.memory, [])
    assert cursor.run() == lib.CURSOR_IDLE
    assert cursor.queue.errored()


def test_a_change_of_memory_while_an_image_is_waited_for_leaves_the_old_memory_alone(
    cursor: CursorEnd,
) -> None:
    pending = cursor.submit(update_cursor(0, 5, 6, 9), 24)
    assert cursor.run() == lib.CURSOR_UNKNOWN_IMAGE
    share(cursor.memory, cursor.guest.regions)
    assert cursor.run() == lib.CURSOR_IDLE
    response, length = cursor.queue.wait(pending)
    assert (response, length) == (bytes(24), 0)


def test_after_a_reset_nothing_is_known_or_shown(cursor: CursorEnd) -> None:
    cursor.image(7, 64, 64, noise(64, 64))
    cursor.submit(update_cursor(0, 0, 0, 7))
    cursor.run()
    assert shown(cursor).visible
    lib.cursor_reset(cursor.cursor)
    cursor.submit(move_cursor(0, 1, 1))
    cursor.run()
    display = cursor.presenting.display
    assert display.wait_for(lambda: not display.cursors[0].visible)
    cursor.submit(update_cursor(0, 0, 0, 7))
    assert cursor.run() == lib.CURSOR_UNKNOWN_IMAGE


def test_one_call_does_not_go_on_for_ever(presenting: Presenting) -> None:
    cursor = CursorEnd(presenting, size=1024)
    for x in range(300):
        cursor.submit(move_cursor(0, x, 0))
    assert cursor.run() == lib.CURSOR_BUSY
    assert cursor.run() == lib.CURSOR_IDLE
    assert presenting.display.wait_for(
        lambda: 0 in presenting.display.cursors and presenting.display.cursors[0].x == 299
    )
    assert Display.CURSOR_UPDATE not in presenting.display.messages
    cursor.close()
