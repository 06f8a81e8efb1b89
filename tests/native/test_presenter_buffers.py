# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Scanouts that are shown from DMA buffers, which memory files stand in for here: the presenter passes them on unread."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterator

import pytest

from tests.driver.display import Display, DisplayServer, Update
from tests.driver.protocol import DisconnectedError
from vgpud.native import ffi, lib

from .conftest import open_descriptors
from .device_end import XR24, Kind, Record
from .presenting import SCANOUT, Presenting, noise, post

SIZE = (64, 48)
WHOLE = (0, 0, 64, 48)
NO_MODIFIER = 0x00FFFFFFFFFFFFFF
TILED = 0x0100000000000002


class Texture:
    """Stands in for the DMA buffer of a texture."""

    def __init__(self, pixels: bytes) -> None:
        self.fd = os.memfd_create("texture")
        os.write(self.fd, pixels)
        self.file = os.fstat(self.fd).st_ino

    def show(self, presenting: Presenting, scanout_id: int = 0, modifier: int = 0) -> None:
        presenting.device.buffer(self.fd, SIZE, scanout_id, modifier)


@pytest.fixture
def texture() -> Iterator[Texture]:
    one = Texture(noise(*SIZE))
    yield one
    os.close(one.fd)


@pytest.fixture
def other() -> Iterator[Texture]:
    one = Texture(noise(*SIZE, seed=2))
    yield one
    os.close(one.fd)


@pytest.fixture
def hidden() -> Iterator[Presenting]:
    """With a display whose window is hidden: frames are shown when a test says so."""
    before = open_descriptors()
    presenting = Presenting(DisplayServer(shows=False))
    yield presenting
    presenting.close()
    assert open_descriptors() <= before, "descriptors were left open"


def agree_on_modifiers(presenting: Presenting) -> None:
    assert post(presenting, Display.SET_PROTOCOL_FEATURES, struct.pack("=Q", 3)) == 0
    assert presenting.display.wait_for(
        lambda: Display.SET_PROTOCOL_FEATURES in presenting.display.messages
    )


def frames(presenting: Presenting) -> list[tuple[int, int, int, int]]:
    return [(one.x, one.y, one.width, one.height) for one in presenting.display.frames]


def shown(presenting: Presenting, count: int) -> bool:
    return presenting.display.wait_for(lambda: len(presenting.display.frames) >= count)


def test_a_texture_goes_over_with_its_descriptor_and_its_layout(
    presenting: Presenting, texture: Texture
) -> None:
    agree_on_modifiers(presenting)
    presenting.device.buffer(texture.fd, SIZE, modifier=TILED, flags=1, stride=512)
    presenting.device.damage(SCANOUT, WHOLE)
    assert shown(presenting, 1)
    buffer = presenting.display.buffers[0]
    assert (buffer.file, buffer.pixels) == (texture.file, noise(*SIZE))
    assert (buffer.width, buffer.height, buffer.fd_width, buffer.fd_height) == SIZE * 2
    assert (buffer.x, buffer.y, buffer.fd_stride, buffer.fd_flags) == (0, 0, 512, 1)
    assert (buffer.fd_drm_fourcc, buffer.modifier) == (XR24, TILED)
    assert presenting.display.messages[-2:] == [Display.DMABUF_SCANOUT2, Display.DMABUF_UPDATE]
    assert not presenting.display.updates


def test_without_dmabuf2_the_first_message_is_used(
    presenting: Presenting, texture: Texture
) -> None:
    texture.show(presenting, modifier=TILED)
    presenting.device.damage(SCANOUT, WHOLE)
    assert shown(presenting, 1)
    assert presenting.display.messages == [Display.DMABUF_SCANOUT, Display.DMABUF_UPDATE]


def test_a_modifier_that_nobody_knows_is_not_sent(presenting: Presenting, texture: Texture) -> None:
    agree_on_modifiers(presenting)
    texture.show(presenting, modifier=NO_MODIFIER)
    presenting.device.damage(SCANOUT, WHOLE)
    assert shown(presenting, 1)
    assert presenting.display.buffers[0].modifier is None


def test_a_buffer_is_told_again_when_modifiers_are_agreed_on_later(
    presenting: Presenting, texture: Texture
) -> None:
    texture.show(presenting, modifier=TILED)
    presenting.device.damage(SCANOUT, (1, 2, 3, 4))
    assert shown(presenting, 1)
    agree_on_modifiers(presenting)
    assert shown(presenting, 2)
    assert presenting.display.buffers[0].modifier == TILED
    assert frames(presenting) == [(1, 2, 3, 4), WHOLE]


def test_a_buffer_is_told_once_however_many_frames_it_has(
    presenting: Presenting, texture: Texture
) -> None:
    texture.show(presenting)
    for count in range(1, 6):
        presenting.device.damage(SCANOUT, (count, 0, 1, 1))
        assert shown(presenting, count)
    assert presenting.display.messages.count(Display.DMABUF_SCANOUT) == 1
    assert frames(presenting) == [(count, 0, 1, 1) for count in range(1, 6)]


def test_what_is_drawn_while_a_frame_waits_becomes_one_rectangle(
    hidden: Presenting, texture: Texture
) -> None:
    texture.show(hidden)
    hidden.device.damage(SCANOUT, (0, 0, 1, 1))
    assert shown(hidden, 1)
    for count in range(5000):
        hidden.device.damage(SCANOUT, (4 + count % 8, 6, 2, 2))
    time.sleep(0.05)
    assert len(hidden.display.frames) == 1
    hidden.display.show_frame()
    assert shown(hidden, 2)
    assert frames(hidden)[1] == (4, 6, 9, 2)


def test_a_display_that_never_answers_costs_nothing(hidden: Presenting, texture: Texture) -> None:
    """A guest turns pages all the while: a new buffer with each frame."""
    texture.show(hidden)
    hidden.device.damage(SCANOUT, WHOLE)
    assert shown(hidden, 1)
    before = open_descriptors()
    for _ in range(2000):
        texture.show(hidden)
        hidden.device.damage(SCANOUT, WHOLE)
    hidden.device.scanout(8, 8, scanout_id=1)  # goes on being served
    assert hidden.display.wait_for(lambda: 1 in hidden.display.pictures)
    assert open_descriptors() <= before
    assert len(hidden.display.frames) == 1


def test_the_newest_buffer_is_what_a_display_gets_after_its_reply(
    hidden: Presenting, texture: Texture, other: Texture
) -> None:
    texture.show(hidden)
    hidden.device.damage(SCANOUT, WHOLE)
    assert shown(hidden, 1)
    for one in (other, texture, other):
        one.show(hidden)
        hidden.device.damage(SCANOUT, WHOLE)
    hidden.display.show_frame()
    assert shown(hidden, 2)
    assert hidden.display.buffers[0].file == other.file
    assert hidden.display.messages.count(Display.DMABUF_SCANOUT) == 2


def test_the_cursor_does_not_wait_for_a_frame(hidden: Presenting, texture: Texture) -> None:
    texture.show(hidden)
    hidden.device.damage(SCANOUT, WHOLE)
    assert shown(hidden, 1)
    lib.presenter_move_cursor(hidden.presenter, 0, 5, 6, True)
    assert hidden.display.wait_for(lambda: 0 in hidden.display.cursors)


def test_scanouts_take_turns(hidden: Presenting, texture: Texture, other: Texture) -> None:
    texture.show(hidden, 0)
    other.show(hidden, 3)
    for count in range(4):
        hidden.device.damage((0, *SIZE), WHOLE)
        hidden.device.damage((3, *SIZE), WHOLE)
        assert shown(hidden, count + 1)
        hidden.display.show_frame()
    assert shown(hidden, 5)
    assert [one.scanout_id for one in hidden.display.frames[:4]] == [0, 3, 0, 3]


def test_pixels_after_a_texture_are_announced_anew(
    presenting: Presenting, texture: Texture
) -> None:
    pixels = noise(*SIZE, seed=3)
    presenting.device.staged(SCANOUT, WHOLE, noise(*SIZE))
    assert presenting.display.wait_for(lambda: presenting.display.updates)
    texture.show(presenting)
    presenting.device.damage(SCANOUT, WHOLE)
    assert shown(presenting, 1)
    presenting.device.staged(SCANOUT, WHOLE, pixels)
    assert presenting.display.wait_for_picture(0, pixels)
    assert 0 not in presenting.display.buffers
    assert presenting.display.messages == [
        Display.SCANOUT,
        Display.UPDATE,
        Display.DMABUF_SCANOUT,
        Display.DMABUF_UPDATE,
        Display.DMABUF_SCANOUT,
        Display.SCANOUT,
        Display.UPDATE,
    ]


def test_a_scanout_that_showed_a_texture_is_disabled(
    presenting: Presenting, texture: Texture
) -> None:
    texture.show(presenting)
    presenting.device.damage(SCANOUT, WHOLE)
    assert shown(presenting, 1)
    presenting.device.scanout(0, 0)
    assert presenting.display.wait_for(lambda: Display.SCANOUT in presenting.display.messages)
    assert not presenting.display.buffers
    assert not presenting.display.pictures


def test_a_texture_that_was_never_flushed_is_not_told(
    presenting: Presenting, texture: Texture
) -> None:
    texture.show(presenting)
    presenting.device.staged(SCANOUT, WHOLE, noise(*SIZE))
    assert presenting.display.wait_for_picture(0, noise(*SIZE))
    assert presenting.display.messages == [Display.SCANOUT, Display.UPDATE]


def test_a_new_display_gets_the_texture_whole(hidden: Presenting, texture: Texture) -> None:
    texture.show(hidden)
    hidden.device.damage(SCANOUT, (1, 1, 1, 1))
    assert shown(hidden, 1)
    first, hidden.display = hidden.display, DisplayServer()
    hidden.set_display(hidden.display)
    first.close()
    assert shown(hidden, 1)
    assert frames(hidden) == [WHOLE]
    assert hidden.display.buffers[0].file == texture.file


def test_the_texture_stays_while_a_device_process_is_replaced(
    presenting: Presenting, texture: Texture
) -> None:
    texture.show(presenting)
    presenting.device.damage(SCANOUT, WHOLE)
    assert shown(presenting, 1)
    presenting.device.channel.close()
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_CLOSED)
    post(presenting, Display.GET_PROTOCOL_FEATURES)
    assert presenting.replies[0].recv(64)
    assert 0 in presenting.display.buffers


def test_replies_to_questions_go_on_whole_between_those_to_frames(
    presenting: Presenting, texture: Texture
) -> None:
    texture.show(presenting)
    asked = 20
    for count in range(asked):
        presenting.device.damage(SCANOUT, WHOLE)
        post(presenting, Display.GET_DISPLAY_INFO)
        assert presenting.display.wait_for(
            lambda count=count: presenting.display.messages.count(Display.GET_DISPLAY_INFO) > count  # type: ignore[misc]
        )
    received = b""
    presenting.replies[0].settimeout(5)
    while len(received) < asked * 420:
        received += presenting.replies[0].recv(1 << 16)
    for start in range(0, len(received), 420):
        assert struct.unpack_from("=3I", received, start) == (Display.GET_DISPLAY_INFO, 4, 408)
    assert len(received) == asked * 420


def test_a_reply_that_was_not_asked_for_is_ignored(
    presenting: Presenting, texture: Texture
) -> None:
    presenting.display.reply(Display.DMABUF_UPDATE, b"")
    presenting.display.reply(Display.DMABUF_UPDATE, b"with a payload")
    texture.show(presenting)
    presenting.device.damage(SCANOUT, WHOLE)
    assert shown(presenting, 1)


def test_a_reply_of_a_length_that_none_has_costs_the_display(presenting: Presenting) -> None:
    with contextlib.suppress(DisconnectedError):
        presenting.display.reply(Display.DMABUF_UPDATE, bytes(5000))
    assert presenting.wait_for_reason(lib.PRESENTER_DISPLAY_CLOSED)
    presenting.replies[0].settimeout(5)
    assert presenting.replies[0].recv(16) == b""


def test_a_display_that_says_more_than_was_asked_is_given_up(presenting: Presenting) -> None:
    with contextlib.suppress(DisconnectedError):
        for _ in range(10_000):
            presenting.display.reply(Display.GET_DISPLAY_INFO, bytes(408))
    assert presenting.wait_for_reason(lib.PRESENTER_DISPLAY_CLOSED)


def test_the_end_of_the_display_is_the_end_of_its_replies(presenting: Presenting) -> None:
    presenting.display.close()
    presenting.replies[0].settimeout(5)
    assert presenting.replies[0].recv(16) == b""


def test_damage_outside_the_texture_means_all_of_it(
    presenting: Presenting, texture: Texture
) -> None:
    texture.show(presenting)
    presenting.device.damage(SCANOUT, (0xFFFFFFFF, 1, 2, 3))
    assert shown(presenting, 1)
    assert frames(presenting) == [WHOLE]


def test_damage_of_a_scanout_without_a_texture_is_nothing(presenting: Presenting) -> None:
    presenting.device.damage(SCANOUT, WHOLE)
    presenting.device.staged(SCANOUT, WHOLE, noise(*SIZE))
    assert presenting.display.wait_for_picture(0, noise(*SIZE))
    assert presenting.display.frames == []


@pytest.mark.parametrize(
    "fields",
    [(16, 64, 48, 256), (0, 0, 48, 256), (0, 64, 0, 256), (0, 64, 48, 0), (0, 1 << 31, 48, 256)],
)
def test_a_buffer_that_cannot_be_costs_the_device_process(
    presenting: Presenting, texture: Texture, fields: tuple[int, int, int, int]
) -> None:
    scanout_id, width, height, stride = fields
    presenting.device.buffer(texture.fd, (width, height), scanout_id, stride=stride)
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_BROKEN)


def test_a_buffer_without_a_descriptor_costs_the_device_process(presenting: Presenting) -> None:
    presenting.device.send(Record(Kind.BUFFER, 0, 64, 48, 256))
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_BROKEN)


def test_frames_in_buffers_are_counted(presenting: Presenting, texture: Texture) -> None:
    texture.show(presenting)
    presenting.device.damage(SCANOUT, WHOLE)
    assert shown(presenting, 1)
    presenting.device.staged((1, 8, 8), (0, 0, 8, 8), noise(8, 8))
    assert presenting.display.wait_for(lambda: Update(1, 0, 0, 8, 8) in presenting.display.updates)
    presenting.stop()
    presented = ffi.new("struct presented *")
    lib.presenter_count(presenting.presenter, presented)
    assert (presented.updates, presented.dmabuf_updates) == (2, 1)


def test_pairs_of_descriptors_arrive_in_order(presenting: Presenting) -> None:
    """The descriptor of each message is its own, with pixels of another scanout between them."""
    textures = [Texture(noise(*SIZE, seed=seed)) for seed in range(20)]
    for count, one in enumerate(textures):
        one.show(presenting)
        presenting.device.damage(SCANOUT, WHOLE)
        presenting.device.staged((1, 64, 48), WHOLE, noise(*SIZE))
        assert shown(presenting, count + 1)
        assert presenting.display.buffers[0].file == one.file
        os.close(one.fd)
