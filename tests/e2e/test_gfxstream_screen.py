# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Programs that draw with gfxstream's Vulkan on a machine's screen, under weston in the guest, and what becomes of it when somebody dies."""

from __future__ import annotations

import os
import signal

import pytest

from ..driver import gfxstream
from . import disk, opengl, vulkan
from .conftest import Report, Workshop
from .control import Screen
from .daemon import Daemon
from .held import Drawing, nearest
from .likeness import Deviation, deviation, upside_down, with_red_and_blue_swapped
from .long import takes
from .machine import Machine
from .picture import Picture
from .process import wait_until
from .test_gfxstream import with_gfxstream
from .vulkan import CUBE, GFXSTREAM

pytestmark = [
    pytest.mark.usefixtures("only_vgpud"),
    # The guest's own renderer, on an emulated processor of a busy host.
    pytest.mark.timeout(900),
    pytest.mark.skipif(gfxstream.folder() is None, reason=gfxstream.NOT_NAMED),
    takes("minutes, and two more roots to make"),
]


@pytest.fixture(scope="module")
def daemon(shared_workshop: Workshop) -> Daemon:
    return vulkan.start_daemon(shared_workshop, "gfxstream", with_gfxstream())


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop, daemon: Daemon) -> Machine:
    return vulkan.ready_machine(shared_workshop, daemon)


@pytest.fixture(scope="module")
def screen(machine: Machine, daemon: Daemon) -> Screen:
    """With weston."""
    screen = Screen(machine, daemon)
    vulkan.start_weston(screen)
    return screen


@pytest.fixture(scope="module")
def cube(screen: Screen) -> Picture:
    return vulkan.expected_picture(screen, CUBE)


def programs(daemon: Daemon) -> set[str]:
    """That have a context of gfxstream's Vulkan: its device has the name that the guest's own has."""
    return {
        context["debug_name"]
        for context in opengl.contexts(daemon)
        if context["capset_id"] == gfxstream.VULKAN
    }


def drawn(screen: Screen, daemon: Daemon, what: Drawing, expected: Picture) -> Deviation:
    with vulkan.held_in_weston(screen, what, GFXSTREAM):
        assert programs(daemon) == {what.program}
        return nearest(screen, expected)


@pytest.mark.parametrize("name", vulkan.DRAWINGS)
def test_a_program_shows_the_frame_that_the_guest_s_own_renderer_draws(
    screen: Screen, daemon: Daemon, cube: Picture, name: str, report: Report
) -> None:
    what = vulkan.DRAWINGS[name]
    expected = cube if name == "vkcube" else vulkan.expected_picture(screen, what)
    found = drawn(screen, daemon, what, expected)
    report(f"mean {found.mean:.6f} of 255, {found.part:.6f} of the pixels far off")
    assert found.tolerable
    wrong = with_red_and_blue_swapped(upside_down(expected))
    assert not deviation(wrong, expected).tolerable


# --- who dies while a program draws


def test_a_killed_program_leaves_nothing_behind(
    screen: Screen, daemon: Daemon, cube: Picture
) -> None:
    device = daemon.device_processes()
    with vulkan.drawing(screen, GFXSTREAM):
        assert programs(daemon) == {"vkcube"}
    wait_until(lambda: not programs(daemon), "the end of its context")
    assert drawn(screen, daemon, CUBE, cube).tolerable
    assert daemon.device_processes() == device


def test_a_killed_device_process_is_followed_by_another(
    screen: Screen, daemon: Daemon, machine: Machine, cube: Picture
) -> None:
    """Weston and its screen go on, and the next program draws."""
    (weston,) = machine.guest.run("pidof weston").split()
    device = daemon.device_processes()
    with vulkan.drawing(screen, GFXSTREAM):
        os.kill(device[0], signal.SIGKILL)
        wait_until(
            lambda: daemon.device_processes() not in (device, []), "another device process", 20
        )
        wait_until(lambda: not programs(daemon), "the loss of its context")
    assert drawn(screen, daemon, CUBE, cube).tolerable
    assert machine.guest.run("pidof weston").split() == [weston]


def test_a_reboot_while_a_program_draws(
    screen: Screen, daemon: Daemon, machine: Machine, cube: Picture
) -> None:
    device = daemon.device_processes()
    with vulkan.drawing(screen, GFXSTREAM):
        machine.guest.send("reboot -f")
        machine.wait_ready()
    assert not programs(daemon)
    disk.mount(machine)
    vulkan.start_weston(screen)
    assert drawn(screen, daemon, CUBE, cube).tolerable
    assert daemon.device_processes() == device
