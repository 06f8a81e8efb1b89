# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The test driver itself, proved against QEMU's own C backend."""

import os
from collections.abc import Iterator

import pytest

from tests.driver import commands
from tests.driver.backend import QEMU_PEER, Backend, Machine, qemu_peer
from tests.driver.commands import Rectangle, ResponseType
from tests.driver.display import CURSOR_SIDE

pytestmark = pytest.mark.skipif(
    not QEMU_PEER.exists(), reason="QEMU's vhost-user-gpu is not installed"
)

QEMU_10 = {"config_size": 16}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Backend(qemu_peer) as backend, Machine(backend.socket_path, frontend=QEMU_10) as machine:
        yield machine


def test_a_picture_arrives_as_it_was_drawn(machine: Machine) -> None:
    guest, display = machine.guest, machine.display
    resource = guest.create_2d(200, 100)
    pixels = os.urandom(200 * 100 * 4)
    guest.draw(resource, resource.whole, pixels)
    guest.show(resource)
    assert display.wait_for_picture(0, pixels)
    assert display.violations == []


def test_only_the_flushed_rectangle_is_sent(machine: Machine) -> None:
    guest, display = machine.guest, machine.display
    resource = guest.create_2d(64, 64)
    guest.show(resource)
    area = Rectangle(8, 16, 24, 32)
    pixels = os.urandom(24 * 32 * 4)
    guest.draw(resource, area, pixels)
    guest.transfer(resource, area)
    guest.flush(resource, area)
    assert display.wait_for(lambda: len(display.updates) == 2)
    assert display.pictures[0].rows(8, 16, 24, 32)[0::4] == pixels[0::4]
    assert display.pictures[0].pixel(0, 0) == (0, 0, 0)


def test_a_fence_comes_back_with_its_number(machine: Machine) -> None:
    resource = machine.guest.create_2d(16, 16)
    response = machine.guest.transfer(resource, fence_id=77)
    assert response.flags & commands.FLAG_FENCE
    assert response.fence_id == 77


def test_a_wrong_resource_is_an_error(machine: Machine) -> None:
    response = machine.guest.ask(commands.resource_unref(99))
    assert response.type == ResponseType.ERR_INVALID_RESOURCE_ID


def test_display_information_is_the_display_s(machine: Machine) -> None:
    response = machine.guest.display_info()
    assert response.type == ResponseType.OK_DISPLAY_INFO
    assert response.data[8:16] == (1280).to_bytes(4, "little") + (800).to_bytes(4, "little")


def test_the_cursor_moves_and_has_its_picture(machine: Machine) -> None:
    guest, display = machine.guest, machine.display
    resource = guest.create_2d(CURSOR_SIDE, CURSOR_SIDE)
    pixels = os.urandom(CURSOR_SIDE * CURSOR_SIDE * 4)
    guest.draw(resource, resource.whole, pixels)
    guest.transfer(resource)
    guest.update_cursor(resource, 5, 6, 1, 2)
    guest.move_cursor(50, 60)
    assert display.wait_for(lambda: 0 in display.cursors and display.cursors[0].x == 50)
    assert display.cursors[0].pixels == pixels
    assert (display.cursors[0].hot_x, display.cursors[0].hot_y) == (1, 2)


@pytest.mark.parametrize("event_idx", [False, True])
@pytest.mark.parametrize("indirect", [False, True])
def test_many_commands_wrap_the_ring(event_idx: bool, indirect: bool) -> None:
    options = {"event_idx": event_idx, "indirect": indirect}
    with (
        Backend(qemu_peer) as backend,
        Machine(backend.socket_path, guest=options, frontend=QEMU_10) as machine,
    ):
        resource = machine.guest.create_2d(8, 8)
        for index in range(300):
            assert machine.guest.transfer(resource, fence_id=index).fence_id == index
