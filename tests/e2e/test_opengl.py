# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""OpenGL in a real guest: Debian's kernel and Mesa over `vgpud --gpu-mode virglrenderer`, on a host without a GPU."""

from __future__ import annotations

import os
import re
import signal

import pytest

from vgpud.cli.renderer_check import probe
from vgpud.errors import RendererError

from . import opengl
from .conftest import Report, Workshop
from .daemon import Daemon, chosen_backend
from .machine import Machine
from .picture import Picture
from .process import wait_until
from .screens import assert_console_is_readable, write_text

# Two renderers need not round alike: at most a thousandth of the pixels may differ by more than 8 of 255.
TOLERANCE, PART = 8, 0.001
FRAMES = 30


def unavailable() -> str:
    """Why the mode cannot be had here, or nothing."""
    if chosen_backend() != "vgpud":
        return "nothing but vgpud draws OpenGL without a GPU"
    try:
        probe({"mode": "virglrenderer"})
    except RendererError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


@pytest.fixture(scope="module")
def daemon(shared_workshop: Workshop) -> Daemon:
    return shared_workshop.daemon(["--gpu-mode", "virglrenderer"])


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop, daemon: Daemon) -> Machine:
    machine = shared_workshop.ready_machine(daemon, opengl.options())
    opengl.unpack(machine)
    return machine


@pytest.fixture(scope="module")
def expected(machine: Machine) -> Picture:
    """The frame as the guest draws it without the host."""
    picture, renderer = opengl.scene(machine, FRAMES, opengl.SOFTWARE)
    assert renderer.startswith("llvmpipe")
    return picture


def assert_draws(machine: Machine, expected: Picture) -> None:
    picture, renderer = opengl.scene(machine, FRAMES)
    assert renderer.startswith("virgl")
    part = opengl.differing(picture, expected, TOLERANCE)
    if part > PART:
        machine.keep(expected, "expected")
        machine.keep(picture, "shown")
    assert part <= PART


def test_the_driver_finds_both_capability_sets(machine: Machine) -> None:
    log = machine.guest.run("dmesg | grep drm")
    assert "features: +virgl +edid" in log
    assert "number of cap sets: 2" in log


def test_eglinfo_names_virgl(machine: Machine) -> None:
    text = opengl.run(machine, "eglinfo.x86_64-linux-gnu -B -p gbm")
    renderers = re.findall(r"OpenGL.* profile renderer: (.*)", text)
    assert renderers
    assert all(renderer.startswith("virgl") for renderer in renderers)


def test_a_frame_is_the_one_that_software_draws(
    machine: Machine, expected: Picture, report: Report
) -> None:
    assert len(expected.colours()) > 1000
    assert_draws(machine, expected)


def test_kmscube_turns(machine: Machine, report: Report) -> None:
    # It ends when its standard input has something to read.
    text = machine.guest.run(f"chroot {opengl.ROOT} kmscube -c 200 </dev/tty1", 60)
    rendered = re.findall(r"Rendered (\d+) frames in .* \(([\d.]+) fps\)", text)
    assert rendered[-1][0] == "199"
    report(f"{float(rendered[-1][1]):.0f} frames a second of 1280x800")


def test_glmark2_shows_its_scenes(machine: Machine, report: Report) -> None:
    # A plane of virtio-gpu takes no alpha; the largest mode there is, 5120x2160, is what it chooses.
    options = (
        "--visual-config red=8:green=8:blue=8:alpha=0 -b build:duration=2 -b shading:duration=2"
    )
    machine.guest.run(f"chroot {opengl.ROOT} glmark2-es2-drm {options} >/tmp/glmark2.log 2>&1 &")
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


def test_two_programs_draw_at_once(machine: Machine, expected: Picture) -> None:
    opengl.start_scene(machine, 1_000_000)
    opengl.wait_until_it_draws(machine)
    text = opengl.run(machine, "glmark2-es2-drm --off-screen -b build:duration=2")
    assert re.search(r"\[build\].*FPS: \d+", text)
    assert "failed" not in machine.guest.run("cat /tmp/scene.log")
    opengl.stop_scene(machine)
    assert_draws(machine, expected)


def test_a_program_killed_while_it_draws_leaves_nothing_behind(
    machine: Machine, expected: Picture
) -> None:
    for _ in range(3):
        opengl.start_scene(machine, 1_000_000)
        opengl.wait_until_it_draws(machine)
        opengl.stop_scene(machine)
    write_text(machine, "killed three times")
    assert_console_is_readable(machine)
    assert_draws(machine, expected)


def test_a_device_process_killed_while_a_program_draws_costs_that_program(
    machine: Machine, daemon: Daemon, expected: Picture
) -> None:
    opengl.start_scene(machine, 1_000_000)
    opengl.wait_until_it_draws(machine)
    (before,) = daemon.device_processes()
    os.kill(before, signal.SIGSEGV)
    wait_until(lambda: daemon.device_processes() not in ([], [before]), "another device process")
    opengl.stop_scene(machine)
    write_text(machine, "the console came back")
    assert_console_is_readable(machine)
    assert_draws(machine, expected)


def test_a_reboot_while_a_program_draws(machine: Machine, expected: Picture) -> None:
    opengl.start_scene(machine, 1_000_000)
    opengl.wait_until_it_draws(machine)
    machine.guest.send("reboot -f")
    machine.wait_ready()
    write_text(machine, "rebooted")
    assert_console_is_readable(machine)
    opengl.unpack(machine)
    assert_draws(machine, expected)
