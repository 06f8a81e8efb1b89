# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The cursor on the display socket: at once, the latest position only, again on a new display."""

from __future__ import annotations

import time

from tests.driver.display import Cursor, Display, DisplayServer, Update
from vgpud.native import lib

from .device_end import Image
from .presenting import Presenting, noise

PICTURE = noise(64, 64, 9)
LARGE = (0, 1024, 768)


def stall(presenting: Presenting) -> Image:
    """The display stops reading while an image is on its way."""
    presenting.display.pause()
    image = Image(1, 1024, 768)
    presenting.device.image(LARGE, (0, 0, 1024, 768), image)
    time.sleep(0.05)
    return image


def cursor_messages(presenting: Presenting) -> list[int]:
    wanted = (Display.CURSOR_POS, Display.CURSOR_POS_HIDE, Display.CURSOR_UPDATE)
    return [message for message in presenting.display.messages if message in wanted]


def test_a_picture_is_shown_with_its_hot_spot(presenting: Presenting) -> None:
    assert lib.presenter_set_cursor(presenting.presenter, 1, 10, 20, 3, 4, PICTURE) == 0
    assert presenting.display.wait_for(lambda: presenting.display.cursors)
    assert presenting.display.cursors == {1: Cursor(1, 10, 20, True, 3, 4, PICTURE)}


def test_a_cursor_moves_and_hides(presenting: Presenting) -> None:
    lib.presenter_move_cursor(presenting.presenter, 0, 5, 6, 1)
    assert presenting.display.wait_for(lambda: presenting.display.cursors)
    lib.presenter_move_cursor(presenting.presenter, 0, 7, 8, 0)
    assert presenting.display.wait_for(lambda: not presenting.display.cursors[0].visible)
    assert (presenting.display.cursors[0].x, presenting.display.cursors[0].y) == (7, 8)


def test_of_moves_that_wait_only_the_last_is_sent(presenting: Presenting) -> None:
    image = stall(presenting)
    for x in range(1000):
        lib.presenter_move_cursor(presenting.presenter, 0, x, 0, 1)
    presenting.display.resume()
    assert presenting.display.wait_for(lambda: presenting.display.cursors)
    assert presenting.display.cursors[0].x == 999
    assert cursor_messages(presenting) == [Display.CURSOR_POS]
    image.close()


def test_a_move_after_a_picture_goes_with_it(presenting: Presenting) -> None:
    image = stall(presenting)
    lib.presenter_set_cursor(presenting.presenter, 0, 1, 1, 2, 2, PICTURE)
    lib.presenter_move_cursor(presenting.presenter, 0, 30, 40, 1)
    presenting.display.resume()
    assert presenting.display.wait_for(lambda: presenting.display.cursors)
    assert presenting.display.cursors[0] == Cursor(0, 30, 40, True, 2, 2, PICTURE)
    assert cursor_messages(presenting) == [Display.CURSOR_UPDATE]
    image.close()


def test_a_picture_that_is_hidden_at_once_can_be_shown_later(presenting: Presenting) -> None:
    image = stall(presenting)
    lib.presenter_set_cursor(presenting.presenter, 0, 1, 1, 2, 2, PICTURE)
    lib.presenter_move_cursor(presenting.presenter, 0, 3, 3, 0)
    presenting.display.resume()
    assert presenting.display.wait_for(lambda: len(cursor_messages(presenting)) == 2)
    assert not presenting.display.cursors[0].visible
    lib.presenter_move_cursor(presenting.presenter, 0, 4, 4, 1)
    assert presenting.display.wait_for(lambda: presenting.display.cursors[0].visible)
    assert presenting.display.cursors[0].pixels == PICTURE
    image.close()


def test_a_new_display_gets_every_cursor_again(presenting: Presenting) -> None:
    lib.presenter_set_cursor(presenting.presenter, 0, 1, 1, 2, 2, PICTURE)
    lib.presenter_set_cursor(presenting.presenter, 3, 1, 1, 2, 2, PICTURE)
    lib.presenter_move_cursor(presenting.presenter, 3, 9, 9, 0)
    first, presenting.display = presenting.display, DisplayServer()
    presenting.set_display(presenting.display)
    assert presenting.display.wait_for(lambda: len(cursor_messages(presenting)) == 3)
    assert presenting.display.cursors[0] == Cursor(0, 1, 1, True, 2, 2, PICTURE)
    assert presenting.display.cursors[3] == Cursor(3, 9, 9, False, 2, 2, PICTURE)
    first.close()


def test_after_a_reset_no_cursor_comes_back(presenting: Presenting) -> None:
    lib.presenter_set_cursor(presenting.presenter, 0, 1, 1, 2, 2, PICTURE)
    assert presenting.display.wait_for(lambda: presenting.display.cursors)
    lib.presenter_forget_cursors(presenting.presenter)
    assert presenting.display.wait_for(lambda: not presenting.display.cursors[0].visible)
    first, presenting.display = presenting.display, DisplayServer()
    presenting.set_display(presenting.display)
    presenting.device.scanout(64, 48)
    assert presenting.display.wait_for(lambda: presenting.display.pictures)
    assert presenting.display.cursors == {}
    first.close()


def test_a_cursor_beyond_the_last_scanout_is_refused(presenting: Presenting) -> None:
    assert lib.presenter_move_cursor(presenting.presenter, 16, 0, 0, 1) == -19  # ENODEV
    assert lib.presenter_set_cursor(presenting.presenter, 16, 0, 0, 0, 0, PICTURE) == -19


def test_a_frame_is_cut_into_bands_only_while_the_cursor_moves(presenting: Presenting) -> None:
    image = Image(1, 3840, 2160)
    still, moving = noise(3840, 8) * 270, noise(3840, 8, 2) * 270
    image.draw(0, still)
    image.draw(1, moving)
    whole = (0, 0, 3840, 2160)
    presenting.device.image((0, 3840, 2160), whole, image)
    assert presenting.device.released() is not None
    assert presenting.display.wait_for_picture(0, still)
    assert presenting.display.updates == [Update(0, *whole)]
    presenting.display.updates.clear()
    lib.presenter_move_cursor(presenting.presenter, 0, 1, 1, 1)
    presenting.device.image((0, 3840, 2160), whole, image, slot=1)
    assert presenting.device.released() is not None
    assert presenting.display.wait_for_picture(0, moving)
    bands = presenting.display.updates
    assert len(bands) > 2
    assert [band.y for band in bands[1:]] == [band.y + band.height for band in bands[:-1]]
    assert bands[-1].y + bands[-1].height == 2160
    image.close()


def test_a_frame_that_is_soon_over_stays_whole_under_a_moving_cursor(
    presenting: Presenting,
) -> None:
    image = Image(1, 1920, 1080)
    pixels = noise(1920, 8) * 135
    image.draw(0, pixels)
    lib.presenter_move_cursor(presenting.presenter, 0, 1, 1, 1)
    presenting.device.image((0, 1920, 1080), (0, 0, 1920, 1080), image)
    assert presenting.device.released() is not None
    assert presenting.display.wait_for_picture(0, pixels)
    assert presenting.display.updates == [Update(0, 0, 0, 1920, 1080)]
    image.close()
