# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Without a display socket the guest is told what is configured."""

from __future__ import annotations

import struct

import pytest

from vgpud.display.edid import edid_response, make_edid
from vgpud.display.headless import NO_ANSWER, HeadlessDisplay


def heads(response: bytes) -> list[tuple[int, ...]]:
    """x, y, width, height, enabled, flags of each."""
    return [struct.unpack_from("<6I", response, 24 + 24 * index) for index in range(16)]


async def test_displays_stand_side_by_side() -> None:
    response = await HeadlessDisplay([(1280, 800), (640, 480)]).display_info()
    assert len(response) == 408
    assert response[:24] == (0x1101).to_bytes(4, "little") + bytes(20)
    assert heads(response)[:3] == [(0, 0, 1280, 800, 1, 0), (1280, 0, 640, 480, 1, 0), (0,) * 6]


async def test_more_displays_than_the_device_can_have_are_left_out() -> None:
    display = HeadlessDisplay([(640, 480)] * 20)
    assert display.num_scanouts == 16
    assert all(head[4] for head in heads(await display.display_info()))


async def test_each_display_has_its_own_edid() -> None:
    display = HeadlessDisplay([(1280, 800), (640, 480)])
    assert await display.edid(1) == edid_response(make_edid(640, 480, serial=2))
    assert await display.edid(2) == NO_ANSWER


async def test_an_output_without_a_display_is_disabled_and_takes_no_place() -> None:
    display = HeadlessDisplay([(1280, 800), (640, 480), (800, 600)], unplugged=[0])
    display.set_output(2, (1024, 768))
    assert heads(await display.display_info())[:3] == [
        (0,) * 6,
        (0, 0, 640, 480, 1, 0),
        (640, 0, 1024, 768, 1, 0),
    ]
    assert await display.edid(2) == edid_response(make_edid(1024, 768, serial=3))
    display.set_output(0, (320, 200))
    display.set_output(1, None)
    assert display.outputs == [(320, 200), None, (1024, 768)]


@pytest.mark.parametrize("scanout_id", [-1, 2])
async def test_an_output_that_does_not_exist_cannot_be_set(scanout_id: int) -> None:
    display = HeadlessDisplay([(1280, 800), (640, 480)])
    with pytest.raises(IndexError):
        display.set_output(scanout_id, (640, 480))
