# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Programs that draw with Vulkan on a machine's screen, under weston in the guest, and what becomes of it when somebody dies."""

from __future__ import annotations

import os
import signal

import pytest

from ..daemon.running import is_running
from . import disk, host, opengl, vulkan
from .conftest import Report, Workshop
from .control import Screen
from .daemon import Daemon
from .held import Drawing, nearest
from .likeness import deviation, upside_down, with_red_and_blue_swapped
from .long import takes
from .machine import Machine
from .picture import Picture
from .process import wait_until
from .screens import assert_console_is_readable, write_text
from .vulkan import CUBE

pytestmark = [
    pytest.mark.usefixtures("only_vgpud"),
    # The guest's own renderer, on an emulated processor of a busy host.
    pytest.mark.timeout(900),
    takes("minutes, and two more roots to make"),
]


@pytest.fixture(scope="module")
def daemon(shared_workshop: Workshop) -> Daemon:
    command = host.vgpud_command(host.NEWER_MESA)
    return vulkan.start_daemon(shared_workshop, "virglrenderer", command)


def new_machine(workshop: Workshop, daemon: Daemon, name: str) -> Machine:
    """It has that name, and a Mesa whose Venus shows pictures in windows without DMA buffers."""
    return vulkan.ready_machine(workshop, daemon, "-name", name, suites=host.NEWER_MESA)


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop, daemon: Daemon) -> Machine:
    return new_machine(shared_workshop, daemon, "one")


@pytest.fixture(scope="module")
def screen(machine: Machine, daemon: Daemon) -> Screen:
    """With weston."""
    screen = Screen(machine, daemon, "one")
    vulkan.start_weston(screen)
    return screen


@pytest.fixture(scope="module")
def cube(screen: Screen) -> Picture:
    return vulkan.expected_picture(screen, CUBE)


@pytest.mark.parametrize("name", vulkan.DRAWINGS)
def test_a_program_shows_the_frame_that_the_guest_s_own_renderer_draws(
    screen: Screen, cube: Picture, name: str, report: Report
) -> None:
    expected = cube if name == "vkcube" else vulkan.expected_picture(screen, vulkan.DRAWINGS[name])
    found = vulkan.shown_picture(screen, vulkan.DRAWINGS[name], expected, vulkan.VENUS)
    report(f"mean {found.mean:.6f} of 255, {found.part:.6f} of the pixels far off")
    assert found.tolerable
    wrong = with_red_and_blue_swapped(upside_down(expected))
    assert not deviation(wrong, expected).tolerable


def assert_draws(screen: Screen, cube: Picture) -> None:
    found = vulkan.shown_picture(screen, CUBE, cube, vulkan.VENUS)
    assert found.tolerable, found


def test_a_frame_too_early_is_told_from_the_right_one(screen: Screen, cube: Picture) -> None:
    early = vulkan.expected_picture(screen, Drawing(CUBE.command, CUBE.frame - 1))
    assert not deviation(early, cube).tolerable


# --- who dies while a program draws


def test_a_killed_program_leaves_nothing_behind(
    screen: Screen, daemon: Daemon, cube: Picture
) -> None:
    with vulkan.drawing_by_worker(screen, daemon) as worker:
        pass
    wait_until(lambda: not is_running(worker), "the end of its worker")
    assert not vulkan.workers(daemon)
    assert_draws(screen, cube)


def test_a_killed_worker_costs_its_program_alone(
    screen: Screen, daemon: Daemon, cube: Picture
) -> None:
    device = daemon.device_processes()
    with vulkan.drawing_by_worker(screen, daemon) as worker:
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not is_running(worker), "the end of the worker")
    assert_draws(screen, cube)
    assert daemon.device_processes() == device


def test_a_killed_render_server_is_followed_by_another(
    screen: Screen, daemon: Daemon, cube: Picture
) -> None:
    device = daemon.device_processes()
    with vulkan.drawing_by_worker(screen, daemon) as worker:
        (server,) = daemon.process.named(vulkan.SERVER)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: not is_running(worker), "the end of the worker")
        wait_until(lambda: daemon.device_processes() not in (device, []), "another device process")
    assert "the render server ended with SIGKILL" in daemon.process.log.text()
    assert_draws(screen, cube)


def test_a_killed_device_process_is_followed_by_another(
    screen: Screen, daemon: Daemon, cube: Picture
) -> None:
    device = daemon.device_processes()
    with vulkan.drawing_by_worker(screen, daemon) as worker:
        os.kill(device[0], signal.SIGKILL)
        wait_until(lambda: not is_running(worker), "the end of the worker")
        wait_until(lambda: daemon.device_processes() not in (device, []), "another device process")
    assert_draws(screen, cube)


# --- OpenGL and Vulkan


FRAMES = 10


def programs_with_contexts(daemon: Daemon) -> set[str]:
    """The kernel has a context of its own, named after who made it first."""
    names = {context["debug_name"] for context in opengl.contexts(daemon)}
    return names & {"scene", "vkcube", "weston"}


def test_opengl_off_the_screen_is_right_beside_vulkan_on_it(
    screen: Screen, daemon: Daemon, machine: Machine
) -> None:
    expected = opengl.scene_off_screen(machine, FRAMES, opengl.SOFTWARE)
    with vulkan.drawing_by_worker(screen, daemon):
        found = deviation(opengl.scene_off_screen(machine, FRAMES), expected)
        assert programs_with_contexts(daemon) == {"vkcube"}
    assert found.tolerable, found


def test_vulkan_on_the_screen_is_right_beside_opengl_off_it(
    screen: Screen, daemon: Daemon, machine: Machine, cube: Picture
) -> None:
    command = f"scene {opengl.SIZE} {opengl.FOREVER} /tmp/never.ppm"
    machine.guest.run(f"chroot {disk.ROOT} {command} >/tmp/scene.log 2>&1 &")
    wait_until(lambda: programs_with_contexts(daemon) == {"scene"}, "the scene's context", 20)
    with vulkan.held_in_weston(screen, CUBE, vulkan.VENUS):
        found = nearest(screen, cube)
        assert programs_with_contexts(daemon) == {"scene", "vkcube"}
    assert found.tolerable, found
    machine.guest.run("pidof scene")
    opengl.stop_scene(machine)


def test_weston_that_draws_with_opengl_shows_what_vulkan_draws(
    screen: Screen, daemon: Daemon, cube: Picture
) -> None:
    vulkan.stop_weston(screen)
    vulkan.start_weston(screen, "gl")
    try:
        with vulkan.held_in_weston(screen, CUBE, vulkan.VENUS):
            found = nearest(screen, cube)
            assert programs_with_contexts(daemon) == {"weston", "vkcube"}
    finally:
        vulkan.stop_weston(screen)
        vulkan.start_weston(screen)
    assert found.tolerable, found


# --- the machine


def test_two_machines_draw_at_the_same_time(
    shared_workshop: Workshop, screen: Screen, daemon: Daemon, cube: Picture
) -> None:
    """Each another frame, and neither the other's; what the one loses the other keeps."""
    (device,) = daemon.device_processes()
    early = Drawing(CUBE.command, CUBE.frame - 1)
    # The guest's own renderer is slow enough with one machine.
    expected = vulkan.expected_picture(screen, early)
    machine = new_machine(shared_workshop, daemon, "two")
    other = Screen(machine, daemon, "two")
    vulkan.start_weston(other)
    with (
        vulkan.held_in_weston(screen, CUBE, vulkan.VENUS),
        vulkan.held_in_weston(other, early, vulkan.VENUS),
    ):
        assert nearest(screen, cube).tolerable
        assert nearest(other, expected).tolerable
    with (
        vulkan.drawing_by_worker(screen, daemon),
        vulkan.drawing_by_worker(other, daemon) as worker,
    ):
        os.kill(device, signal.SIGKILL)
        wait_until(lambda: device not in daemon.device_processes(), "its end")
        assert is_running(worker)
        assert vulkan.moves(other)
    assert_draws(screen, cube)
    machine.kill()
    wait_until(lambda: len(daemon.device_processes()) == 1, "the end of its device process")


def test_a_reboot_while_a_program_draws(
    screen: Screen, daemon: Daemon, machine: Machine, cube: Picture
) -> None:
    device = daemon.device_processes()
    with vulkan.drawing_by_worker(screen, daemon) as worker:
        machine.guest.send("reboot -f")
        machine.wait_ready()
    assert not is_running(worker)
    write_text(screen, "rebooted")
    assert_console_is_readable(screen)
    disk.mount(machine)
    vulkan.start_weston(screen)
    assert_draws(screen, cube)
    assert daemon.device_processes() == device
