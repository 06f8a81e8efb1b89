# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The presenter: what it puts on the display socket, and when it gives memory back."""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time
from pathlib import Path

import pytest

from tests.driver.display import Display, DisplayServer, Update
from tests.driver.processes import wait_until
from tests.driver.waiting import writable
from vgpud.native import lib

from .device_end import DeviceEnd, Image, Kind, Record
from .presenting import SCANOUT, Presenting, noise, post


def test_a_scanout_is_announced_before_its_first_pixels(presenting: Presenting) -> None:
    pixels = noise(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), pixels)
    assert presenting.display.wait_for_picture(0, pixels)
    assert presenting.display.messages == [Display.SCANOUT, Display.UPDATE]


def test_a_scanout_that_keeps_its_size_is_announced_once(presenting: Presenting) -> None:
    presenting.device.scanout(64, 48)
    presenting.device.scanout(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 1, 1), noise(1, 1))
    assert presenting.display.wait_for(lambda: presenting.display.updates)
    assert presenting.display.messages == [Display.SCANOUT, Display.UPDATE]


def test_a_disabled_scanout_is_announced_with_no_width_and_no_height(
    presenting: Presenting,
) -> None:
    presenting.device.scanout(64, 48)
    assert presenting.display.wait_for(lambda: 0 in presenting.display.pictures)
    presenting.device.scanout(0, 48)
    assert presenting.display.wait_for(lambda: 0 not in presenting.display.pictures)


def test_a_width_without_a_height_disables_the_scanout(presenting: Presenting) -> None:
    presenting.device.scanout(64, 48)
    assert presenting.display.wait_for(lambda: 0 in presenting.display.pictures)
    presenting.device.scanout(64, 0)
    assert presenting.display.wait_for(lambda: 0 not in presenting.display.pictures)


def test_small_rectangles_arrive_in_their_order(presenting: Presenting) -> None:
    pictures = [noise(8, 8, seed) for seed in range(200)]
    for pixels in pictures:
        presenting.device.staged(SCANOUT, (3, 5, 8, 8), pixels)
    assert presenting.display.wait_for(lambda: len(presenting.display.updates) == 200)
    shown = presenting.display.pictures[0].rows(3, 5, 8, 8)
    assert shown == pictures[-1]


def test_a_packet_may_have_several_records(presenting: Presenting) -> None:
    records = [Record(Kind.SCANOUT, 3, 100 + size, 50) for size in range(6)]
    presenting.device.send_bytes(b"".join(record.pack() for record in records))
    presenting.device.staged((3, 105, 50), (0, 0, 105, 50), pixels := noise(105, 50))
    assert presenting.display.wait_for_picture(3, pixels)


def test_the_staging_ring_is_given_back(presenting: Presenting) -> None:
    for _ in range(64):
        presenting.device.staged(SCANOUT, (0, 0, 64, 48), noise(64, 48))
    assert presenting.display.wait_for(lambda: len(presenting.display.updates) == 64)
    positions = []
    while (answer := presenting.device.answer(0.2)) is not None:
        assert answer.kind == Kind.CONSUMED
        positions.append(answer.position)
    assert positions == sorted(positions)
    assert presenting.device.position - positions[-1] <= (1 << 20)
    assert positions[-1] <= presenting.device.position


@pytest.mark.parametrize(("width", "height"), [(64, 48), (640, 480), (1920, 1080)])
def test_a_whole_image_is_one_update_and_its_slot_comes_back(
    presenting: Presenting, width: int, height: int
) -> None:
    image = Image(7, width, height)
    pixels = noise(width, height)
    image.draw(2, pixels)
    sent = presenting.device.image((1, width, height), (0, 0, width, height), image, slot=2)
    assert presenting.display.wait_for_picture(1, pixels)
    assert presenting.display.updates == [Update(1, 0, 0, width, height)]
    answer = presenting.device.released()
    assert answer == Record(**{**sent.__dict__, "kind": Kind.RELEASED})
    image.close()


def largest_pipe() -> int:
    """In bytes, of those that this process has."""
    sizes = [0]
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # not a pipe, or closed
            sizes.append(fcntl.fcntl(int(entry.name), fcntl.F_GETPIPE_SZ))
    return max(sizes)


def test_the_kernels_pages_for_pipes_are_taken_while_frames_move_and_given_back(
    presenting: Presenting,
) -> None:
    at_rest = largest_pipe()
    image = Image(7, 1920, 1080)
    pixels = noise(1920, 1080)
    image.draw(0, pixels)
    presenting.device.image((1, 1920, 1080), (0, 0, 1920, 1080), image, slot=0)
    assert presenting.display.wait_for_picture(1, pixels)
    assert largest_pipe() == 1 << 20
    assert wait_until(lambda: largest_pipe() == at_rest)
    image.close()


def test_a_part_of_an_image_is_sent_from_where_it_lies(presenting: Presenting) -> None:
    image = Image(1, 300, 200)
    pixels = noise(300, 200)
    image.draw(0, pixels)
    presenting.device.image((0, 100, 50), (10, 20, 60, 25), image, source=(37, 91))
    assert presenting.display.wait_for(lambda: presenting.display.updates)
    shown = presenting.display.pictures[0].rows(10, 20, 60, 25)
    rows = [pixels[((91 + row) * 300 + 37) * 4 :][: 60 * 4] for row in range(25)]
    assert shown == b"".join(rows)
    assert presenting.device.released() is not None
    image.close()


def test_an_image_with_more_rows_than_one_system_call_takes_arrives_whole(
    presenting: Presenting,
) -> None:
    image = Image(1, 20, 3000)
    pixels = noise(20, 3000)
    image.draw(3, pixels)
    presenting.device.image((0, 19, 3000), (0, 0, 19, 3000), image, slot=3)
    rows = b"".join(pixels[row * 80 : row * 80 + 76] for row in range(3000))
    assert presenting.display.wait_for_picture(0, rows)
    image.close()


def test_a_slot_is_not_released_while_the_display_has_not_read_it(presenting: Presenting) -> None:
    presenting.display.pause()
    image = Image(1, 1024, 1024)
    image.draw(0, noise(1024, 1024))
    presenting.device.image((0, 1024, 1024), (0, 0, 1024, 1024), image)
    assert presenting.device.released(0.3) is None
    presenting.display.resume()
    assert presenting.device.released() is not None
    image.close()


def test_what_was_released_can_be_drawn_over_without_showing(presenting: Presenting) -> None:
    """Pages given by sendfile() are live in the socket; a released slot has none left there."""
    image = Image(1, 1920, 1080)
    for frame in range(20):
        pixels = bytes([frame]) * (1920 * 1080 * 4)
        image.draw(0, pixels)
        presenting.display.updates.clear()
        presenting.device.image((0, 1920, 1080), (0, 0, 1920, 1080), image)
        assert presenting.device.released() is not None
        image.draw(0, b"\xff" * (1920 * 1080 * 4))
        assert presenting.display.wait_for(lambda: presenting.display.updates)
        assert bytes(presenting.display.pictures[0].pixels) == pixels
    image.close()


def test_small_rectangles_after_an_image_of_their_scanout_are_drawn_over_it(
    presenting: Presenting,
) -> None:
    image = Image(1, 800, 600)
    image.draw(0, noise(800, 600))
    presenting.display.pause()
    presenting.device.image((0, 800, 600), (0, 0, 800, 600), image)
    over = noise(64, 64, 2)
    presenting.device.staged((0, 800, 600), (100, 100, 64, 64), over)
    presenting.display.resume()
    assert presenting.display.wait_for(lambda: len(presenting.display.updates) == 2)
    assert presenting.display.pictures[0].rows(100, 100, 64, 64) == over
    image.close()


def test_a_display_that_does_not_read_gets_the_newest_image_only(presenting: Presenting) -> None:
    """One is on its way; of those that wait, only the last is of use."""
    size = (0, 1024, 768)
    presenting.display.pause()
    image = Image(1, 1024, 768)
    for slot in range(4):
        image.draw(slot, bytes([slot + 1]) * (1024 * 768 * 4))
        presenting.device.image(size, (0, 0, 1024, 768), image, slot)
        time.sleep(0.02)
    assert [presenting.device.released(1).slot for _ in range(2)] == [1, 2]  # type: ignore[union-attr]
    presenting.display.resume()
    assert presenting.display.wait_for_picture(0, bytes([4]) * (1024 * 768 * 4))
    assert len(presenting.display.updates) == 2
    image.close()


def test_a_new_size_drops_what_was_to_be_drawn_in_the_old_one(presenting: Presenting) -> None:
    presenting.display.pause()
    image = Image(1, 1024, 768)
    presenting.device.image((0, 1024, 768), (0, 0, 1024, 768), image)
    presenting.device.staged((0, 1024, 768), (1000, 700, 8, 8), noise(8, 8))
    time.sleep(0.05)
    presenting.device.scanout(64, 48)
    pixels = noise(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), pixels)
    presenting.display.resume()
    assert presenting.display.wait_for_picture(0, pixels)
    assert Update(0, 1000, 700, 8, 8) not in presenting.display.updates
    assert presenting.device.released() is not None
    image.close()


@pytest.mark.parametrize(
    ("rectangle", "seen"),
    [
        ((60, 0, 8, 8), (60, 0, 4, 8)),
        ((0, 44, 8, 8), (0, 44, 8, 4)),
        ((64, 0, 8, 8), None),
        ((0xFFFFFFFF, 0xFFFFFFFF, 8, 8), None),
    ],
)
def test_a_rectangle_outside_its_scanout_is_clipped(
    presenting: Presenting,
    rectangle: tuple[int, int, int, int],
    seen: tuple[int, int, int, int] | None,
) -> None:
    pixels = noise(8, 8)
    presenting.device.staged(SCANOUT, rectangle, pixels)
    presenting.device.staged(SCANOUT, (0, 0, 1, 1), noise(1, 1))
    expected = ([Update(0, *seen)] if seen else []) + [Update(0, 0, 0, 1, 1)]
    assert presenting.display.wait_for(lambda: presenting.display.updates == expected)
    if seen:
        _, _, width, height = seen
        rows = b"".join(pixels[row * 32 : row * 32 + width * 4] for row in range(height))
        shown = presenting.display.pictures[0].rows(*seen)
        assert shown[4:] == rows[4:]


@pytest.mark.parametrize(
    ("source", "seen"), [((92, 0), (0, 0, 8, 16)), ((0, 99), (0, 0, 16, 1)), ((100, 0), None)]
)
def test_a_rectangle_outside_its_image_is_clipped(
    presenting: Presenting, source: tuple[int, int], seen: tuple[int, int, int, int] | None
) -> None:
    image = Image(1, 100, 100)
    presenting.device.image(SCANOUT, (0, 0, 16, 16), image, source=source)
    assert presenting.device.released() is not None
    presenting.device.staged(SCANOUT, (0, 0, 1, 1), noise(1, 1))
    expected = ([Update(0, *seen)] if seen else []) + [Update(0, 0, 0, 1, 1)]
    assert presenting.display.wait_for(lambda: presenting.display.updates == expected)
    image.close()


def test_scanouts_do_not_wait_for_each_other(presenting: Presenting) -> None:
    """A small rectangle of one goes before the large image of another that waits."""
    presenting.display.pause()
    images = [Image(1, 1024, 768), Image(2, 1024, 768)]
    for scanout_id, image in enumerate(images):
        presenting.device.image((scanout_id, 1024, 768), (0, 0, 1024, 768), image)
    time.sleep(0.05)
    presenting.device.staged((2, 64, 48), (0, 0, 8, 8), noise(8, 8))
    time.sleep(0.05)
    presenting.display.resume()
    assert presenting.display.wait_for(lambda: len(presenting.display.updates) == 3)
    assert [update.scanout_id for update in presenting.display.updates] == [0, 2, 1]
    for image in images:
        image.close()


def test_posted_messages_go_before_waiting_pixels(presenting: Presenting) -> None:
    presenting.display.pause()
    images = [Image(1, 1024, 768), Image(2, 1024, 768)]
    for scanout_id, image in enumerate(images):
        presenting.device.image((scanout_id, 1024, 768), (0, 0, 1024, 768), image)
    time.sleep(0.05)
    assert post(presenting, Display.GET_DISPLAY_INFO) == 0
    presenting.display.resume()
    assert presenting.display.wait_for(lambda: len(presenting.display.messages) == 5)
    update, request = Display.UPDATE, Display.GET_DISPLAY_INFO
    order = [message for message in presenting.display.messages if message != Display.SCANOUT]
    assert order == [update, request, update]
    for image in images:
        image.close()


def test_at_most_64_messages_wait(presenting: Presenting) -> None:
    presenting.display.pause()
    image = Image(1, 1024, 768)
    presenting.device.image((0, 1024, 768), (0, 0, 1024, 768), image)
    time.sleep(0.05)
    results = [post(presenting, Display.GET_DISPLAY_INFO) for _ in range(66)]
    assert results == [0] * 64 + [-105] * 2  # ENOBUFS
    presenting.display.resume()
    image.close()


def test_a_message_whose_length_is_not_its_headers_is_refused(presenting: Presenting) -> None:
    assert lib.presenter_post(presenting.presenter, bytes(12), 11) == -22
    assert lib.presenter_post(presenting.presenter, bytes(13), 13) == -22
    header = b"\x03\0\0\0" + bytes(4) + b"\xff\xff\xff\xff"
    assert lib.presenter_post(presenting.presenter, header, 12) == -22


def test_without_a_display_everything_is_consumed_and_nothing_can_be_posted(
    presenting: Presenting,
) -> None:
    lib.presenter_set_display(presenting.presenter, -1)
    assert post(presenting, Display.GET_DISPLAY_INFO) == -107  # ENOTCONN
    image = Image(1, 1024, 768)
    for _ in range(10):
        presenting.device.image((0, 1024, 768), (0, 0, 1024, 768), image)
        assert presenting.device.released() is not None
    for _ in range(100):
        presenting.device.staged(SCANOUT, (0, 0, 64, 48), noise(64, 48))
    while (answer := presenting.device.answer(0.2)) is not None:
        consumed = answer.position
    assert presenting.device.position - consumed <= (1 << 20)
    image.close()


def test_a_display_that_closes_is_reported_and_the_device_goes_on(presenting: Presenting) -> None:
    presenting.device.scanout(64, 48)
    assert presenting.display.wait_for(lambda: 0 in presenting.display.pictures)
    presenting.display.close()
    assert presenting.wait_for_reason(lib.PRESENTER_DISPLAY_CLOSED)
    image = Image(1, 64, 48)
    presenting.device.image(SCANOUT, (0, 0, 64, 48), image)
    assert presenting.device.released() is not None
    image.close()


def test_a_display_that_closes_in_the_middle_of_a_frame_releases_it(
    presenting: Presenting,
) -> None:
    presenting.display.pause()
    image = Image(1, 1920, 1080)
    presenting.device.image((0, 1920, 1080), (0, 0, 1920, 1080), image)
    assert presenting.device.released(0.1) is None
    presenting.display.close()
    assert presenting.wait_for_reason(lib.PRESENTER_DISPLAY_CLOSED)
    assert presenting.device.released() is not None
    image.close()


def test_a_new_display_is_told_of_scanouts_anew(presenting: Presenting) -> None:
    presenting.device.staged(SCANOUT, (0, 0, 1, 1), noise(1, 1))
    assert presenting.display.wait_for(lambda: presenting.display.updates)
    first, presenting.display = presenting.display, DisplayServer()
    presenting.set_display(presenting.display)
    assert presenting.display.wait_for(lambda: 0 in presenting.display.pictures)
    pixels = noise(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), pixels)
    assert presenting.display.wait_for_picture(0, pixels)
    assert first.wait_for(lambda: first.closed)
    first.close()


def test_a_new_source_takes_over_where_the_last_one_died(presenting: Presenting) -> None:
    """The frame in progress is finished, so that the display can still be understood."""
    presenting.display.pause()
    image = Image(1, 1024, 768)
    pixels = noise(1024, 768)
    image.draw(0, pixels)
    presenting.device.image((0, 1024, 768), (0, 0, 1024, 768), image)
    presenting.device.staged((1, 64, 48), (0, 0, 8, 8), noise(8, 8))
    time.sleep(0.05)
    presenting.device.close()
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_CLOSED)
    presenting.device = DeviceEnd()
    presenting.set_source(presenting.device)
    over = noise(64, 64, 5)
    presenting.device.staged((0, 1024, 768), (0, 0, 64, 64), over)
    presenting.display.resume()
    assert presenting.display.wait_for(
        lambda: Update(0, 0, 0, 64, 64) in presenting.display.updates
    )
    assert presenting.display.pictures[0].rows(0, 0, 64, 64) == over
    assert presenting.display.pictures[0].rows(0, 64, 64, 64) == b"".join(
        pixels[(64 + row) * 4096 :][:256] for row in range(64)
    )
    image.close()


def test_it_runs_on_after_a_stop(presenting: Presenting) -> None:
    presenting.stop()
    another_display(presenting)
    pixels = noise(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), pixels)
    presenting.thread = threading.Thread(target=presenting._run)
    presenting.thread.start()
    assert presenting.display.wait_for_picture(0, pixels)


def another_display(presenting: Presenting) -> None:
    """Whoever stops it ends the display in use."""
    presenting.display.close()
    presenting.display = DisplayServer()
    presenting.set_display(presenting.display)


def test_more_rectangles_than_it_keeps_wait_in_the_channel(presenting: Presenting) -> None:
    """Nothing is lost, and memory stays bounded: the sender finds the channel full."""
    presenting.display.pause()
    presenting.device.channel.setblocking(False)
    sent = 0
    while True:
        try:
            presenting.device.staged((0, 64, 48), (sent % 64, 0, 1, 40), noise(1, 40, sent))
            sent += 1
        except BlockingIOError:
            # Full for good, and not only until the presenter has looked.
            if not writable(presenting.device.channel, 1):
                break
    # What it keeps, and what the channel and the display's socket hold.
    assert 1000 < sent < 8000
    presenting.display.resume()
    assert presenting.display.wait_for(lambda: len(presenting.display.updates) == sent, 60)


@pytest.mark.parametrize("answered", [False, True])
def test_what_a_device_said_before_it_died_is_still_shown(
    presenting: Presenting, answered: bool
) -> None:
    """Whether or not it had read all answers: a Unix socket then ends with an error first."""
    for _ in range(64 if answered else 1):
        presenting.device.staged(SCANOUT, (0, 0, 1, 1), noise(1, 1))
    assert presenting.display.wait_for(lambda: presenting.display.updates)
    presenting.stop()
    another_display(presenting)
    pixels = noise(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), pixels)
    presenting.device.channel.close()
    presenting.thread = threading.Thread(target=presenting._run)
    presenting.thread.start()
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_CLOSED)
    assert presenting.display.wait_for_picture(0, pixels)
