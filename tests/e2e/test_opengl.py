# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""OpenGL in a real guest: Debian's kernel and Mesa over `vgpud --gpu-mode virglrenderer`, on a host without a GPU."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

from . import disk, opengl
from .conftest import Report, Workshop
from .daemon import Daemon
from .held import Drawing, kill, nearest
from .likeness import deviation, upside_down, with_red_and_blue_swapped
from .machine import VHOST_USER, VHOST_USER_VGA, Machine, MachineOptions
from .opengl import GLMARK2
from .picture import Picture
from .process import wait_until
from .screens import assert_console_is_readable, write_text

FRAMES = 30
COLOURED_CUBE, TEXTURED_CUBE = Drawing("kmscube", 10), Drawing("kmscube -M rgba", 10)
DRAWINGS = {
    "kmscube, coloured": COLOURED_CUBE,
    "kmscube, textured": TEXTURED_CUBE,
    "glmark2's build": Drawing(f"{GLMARK2} build"),
    "glmark2's texture": Drawing(f"{GLMARK2} texture"),
    "glmark2's shading": Drawing(f"{GLMARK2} shading:shading=phong"),
    "glmark2's bump": Drawing(f"{GLMARK2} bump:bump-render=normals"),
    "glmark2's effect2d": Drawing(f"{GLMARK2} effect2d"),
    "glmark2's shadow": Drawing(f"{GLMARK2} shadow"),
    "glmark2's jellyfish": Drawing(f"{GLMARK2} jellyfish", 2),
    "glmark2's desktop": Drawing(f"{GLMARK2} desktop", 2),
}


pytestmark = pytest.mark.skipif(bool(opengl.unavailable()), reason=opengl.unavailable())


@pytest.fixture(scope="module")
def daemon(shared_workshop: Workshop) -> Daemon:
    return shared_workshop.daemon(["--gpu-mode", "virglrenderer"])


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop, daemon: Daemon) -> Machine:
    machine = shared_workshop.ready_machine(daemon, disk.options())
    disk.mount(machine)
    return machine


@pytest.fixture(autouse=True)
def nobody_is_left(machine: Machine) -> Iterator[None]:
    """What a failed test has left must not fail the next."""
    yield
    machine.guest.run("killall -q -9 scene kmscube glmark2-es2-drm sleep", check=False)


@pytest.fixture(scope="module")
def expected(machine: Machine) -> Picture:
    """The scene's last frame as the guest draws it without the host."""
    return opengl.expected_scene(machine, FRAMES)


def assert_draws(machine: Machine, expected: Picture) -> None:
    with opengl.shown_scene(machine, FRAMES):
        found = nearest(machine, expected)
    assert found.tolerable, found


def programs_with_contexts(daemon: Daemon) -> set[str]:
    """The kernel has a context of its own, named after who made it first."""
    names = {context["debug_name"] for context in opengl.contexts(daemon)}
    return names & {"scene", "kmscube", "glmark2-es2-drm"}


def test_the_driver_finds_both_capability_sets(machine: Machine) -> None:
    log = machine.guest.run("dmesg | grep drm")
    assert "features: +virgl +edid" in log
    assert "number of cap sets: 2" in log


@pytest.mark.parametrize("platform", ["gbm", "surfaceless"])
def test_eglinfo_names_virgl(machine: Machine, platform: str) -> None:
    text = disk.run(machine, f"eglinfo.x86_64-linux-gnu -B -p {platform}")
    renderers = re.findall(r"OpenGL.* profile renderer: (.*)", text)
    assert renderers
    assert all(renderer.startswith("virgl") for renderer in renderers)


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_program_shows_the_frame_that_the_guests_own_renderer_draws(
    machine: Machine, name: str, report: Report
) -> None:
    expected = opengl.expected_picture(machine, DRAWINGS[name])
    found = opengl.shown_picture(machine, DRAWINGS[name], expected)
    report(f"mean {found.mean:.6f} of 255, {found.part:.6f} of the pixels far off")
    assert found.tolerable
    assert not deviation(upside_down(expected), expected).tolerable


def test_wrong_pictures_are_told_from_right_ones(machine: Machine, expected: Picture) -> None:
    textured = opengl.expected_picture(machine, TEXTURED_CUBE)
    wrong = {
        "without its texture": (opengl.expected_picture(machine, COLOURED_CUBE), textured),
        "red and blue swapped": (with_red_and_blue_swapped(textured), textured),
        "upside down": (upside_down(textured), textured),
        "a frame too early": (opengl.expected_scene(machine, FRAMES - 1), expected),
    }
    for what, (shown, right) in wrong.items():
        assert not deviation(shown, right).tolerable, what


def test_kmscube_turns(machine: Machine, report: Report) -> None:
    # It ends when its standard input has something to read.
    text = machine.guest.run(f"chroot {disk.ROOT} kmscube -c 200 </dev/tty1", 60)
    rendered = re.findall(r"Rendered (\d+) frames in .* \(([\d.]+) fps\)", text)
    assert rendered[-1][0] == "199"
    report(f"{float(rendered[-1][1]):.0f} frames a second of 1280x800")


def test_glmark2_shows_its_scenes(machine: Machine, report: Report) -> None:
    # A plane of virtio-gpu takes no alpha; the largest mode there is, 5120x2160, is what it chooses.
    options = (
        "--visual-config red=8:green=8:blue=8:alpha=0 -b build:duration=2 -b shading:duration=2"
    )
    machine.guest.run(f"chroot {disk.ROOT} glmark2-es2-drm {options} >/tmp/glmark2.log 2>&1 &")
    drawn = machine.wait_picture(
        lambda shown: shown.width == 5120 and len(shown.crop(2000, 500, 1000, 1000).colours()) > 50,
        "that of glmark2",
        timeout=30,
    )
    machine.keep(drawn, "glmark2")
    machine.guest.run("while pidof glmark2-es2-drm; do sleep 0.2; done", timeout=60, check=False)
    text = machine.guest.run("cat /tmp/glmark2.log")
    assert "GL_RENDERER:    virgl" in text
    rates = re.findall(r"\[(\w+)\].*FPS: (\d+)", text)
    assert [name for name, _ in rates] == ["build", "shading"]
    report(", ".join(f"{name} {rate}" for name, rate in rates) + " frames a second of 5120x2160")


def test_a_program_off_screen_is_right_beside_one_on_the_screen(
    machine: Machine, daemon: Daemon, expected: Picture
) -> None:
    machine.guest.run(f"sleep 600 | chroot {disk.ROOT} kmscube >/tmp/kmscube.log 2>&1 &")
    wait_until(lambda: programs_with_contexts(daemon) == {"kmscube"}, "kmscube's context", 20)
    found = deviation(opengl.scene_off_screen(machine, FRAMES), expected)
    still = programs_with_contexts(daemon)
    kill(machine, "kmscube")
    assert found.tolerable, found
    assert still == {"kmscube"}


def test_a_program_on_the_screen_is_right_beside_one_off_screen(
    machine: Machine, daemon: Daemon
) -> None:
    right = opengl.expected_picture(machine, TEXTURED_CUBE)
    off_screen = f"scene {opengl.SIZE} {opengl.FOREVER} /tmp/never.ppm"
    machine.guest.run(f"chroot {disk.ROOT} {off_screen} >/tmp/scene.log 2>&1 &")
    wait_until(lambda: programs_with_contexts(daemon) == {"scene"}, "the scene's context", 20)
    with opengl.held(machine, TEXTURED_CUBE):
        found = nearest(machine, right)
        assert programs_with_contexts(daemon) == {"scene", "kmscube"}
    assert found.tolerable, found
    assert "failed" not in machine.guest.run("pidof scene >/dev/null && cat /tmp/scene.log")
    opengl.stop_scene(machine)


def test_a_program_killed_while_it_draws_leaves_nothing_behind(
    machine: Machine, daemon: Daemon, expected: Picture
) -> None:
    for _ in range(3):
        opengl.start_scene(machine, opengl.FOREVER)
        opengl.wait_until_it_draws(machine)
        assert programs_with_contexts(daemon) == {"scene"}
        opengl.stop_scene(machine)
    wait_until(lambda: not programs_with_contexts(daemon), "the end of its context")
    write_text(machine, "killed three times")
    assert_console_is_readable(machine)
    assert_draws(machine, expected)


def test_a_device_process_killed_while_a_program_draws_costs_that_program(
    machine: Machine, daemon: Daemon, expected: Picture
) -> None:
    machine.guest.run("dmesg -c >/dev/null")
    opengl.start_scene(machine, opengl.FOREVER)
    opengl.wait_until_it_draws(machine)
    (before,) = daemon.device_processes()
    os.kill(before, signal.SIGSEGV)
    wait_until(lambda: daemon.device_processes() not in ([], [before]), "another device process")
    wait_until(lambda: not programs_with_contexts(daemon), "it to begin without contexts")
    # INVALID_CONTEXT_ID to SUBMIT_3D, as Linux prints it.
    wait_until(
        lambda: "response 0x1204 (command 0x207)" in machine.guest.run("dmesg"),
        "the program to draw in a context that is gone",
    )
    opengl.stop_scene(machine)
    write_text(machine, "the console came back")
    assert_console_is_readable(machine)
    assert_draws(machine, expected)


def test_a_reboot_while_a_program_draws(machine: Machine, expected: Picture) -> None:
    opengl.start_scene(machine, opengl.FOREVER)
    opengl.wait_until_it_draws(machine)
    machine.guest.send("reboot -f")
    machine.wait_ready()
    write_text(machine, "rebooted")
    assert_console_is_readable(machine)
    disk.mount(machine)
    assert_draws(machine, expected)


@pytest.mark.parametrize(
    ("capset", "number", "device"),
    [("virgl", 1, VHOST_USER), ("virgl2", 2, VHOST_USER_VGA)],
)
def test_a_machine_with_one_capability_set_draws(
    workshop: Workshop, expected: Picture, capset: str, number: int, device: str, report: Report
) -> None:
    daemon = workshop.daemon(["--gpu-mode", "virglrenderer", "--capset", capset])
    machine = workshop.ready_machine(daemon, disk.options(MachineOptions(device=device)))
    log = machine.guest.run("dmesg | grep drm")
    assert "number of cap sets: 1" in log
    assert f"cap set 0: id {number}," in log
    disk.mount(machine)
    assert_draws(machine, expected)
    text = disk.run(machine, "eglinfo.x86_64-linux-gnu -B -p gbm")
    report(", ".join(re.findall(r"OpenGL.* profile version: (\S+)", text)))
