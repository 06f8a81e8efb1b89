# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""OpenGL in the guest: programs of its disk, and the ways to run them."""

from __future__ import annotations

import base64
import functools
import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vgpud.cli.renderer_check import probe
from vgpud.errors import RendererError

from ..daemon.running import machine_status
from . import disk
from .daemon import Daemon, chosen_backend
from .held import Drawing, kill, nearest
from .held import held as held_on_a_frame
from .likeness import Deviation
from .machine import Machine
from .picture import Picture

MODE = (1024, 768)
SIZE = "1024x768"
# The guest's own renderer.  With F16C it would compute what GLES calls mediump in 16 bits, which virgl does not.
SOFTWARE = "MESA_LOADER_DRIVER_OVERRIDE=kms_swrast GALLIUM_OVERRIDE_CPU_CAPS=sse4.1"
FOREVER = 1_000_000


@functools.cache
def unavailable() -> str:
    """Why the mode cannot be had here, or nothing."""
    if chosen_backend() != "vgpud":
        return "nothing but vgpud draws OpenGL without a GPU"
    try:
        probe({"mode": "virglrenderer"})
    except RendererError as error:
        return str(error)
    return ""


def contexts(daemon: Daemon) -> list[dict[str, Any]]:
    """Of the daemon's one machine: ctx_id, capset_id and debug_name, which is the program's."""
    found: list[dict[str, Any]] = machine_status(daemon.socket_path)["contexts"]
    return found


# --- programs of others, held on a frame


# Each frame is waited for and shown; a plane of virtio-gpu takes no alpha.
GLMARK2 = (
    "glmark2-es2-drm --swap-mode fifo --visual-config red=8:green=8:blue=8:alpha=0 --benchmark"
)


@contextmanager
def held(machine: Machine, drawing: Drawing, environment: str = "") -> Iterator[str]:
    """The program waits at that frame, a page flip, for as long as the block lasts; the name of its renderer."""
    with held_on_a_frame(machine, drawing, f"HOLD_MODE={SIZE} {environment}") as renderer:
        yield renderer


def expected_picture(machine: Machine, drawing: Drawing) -> Picture:
    """As the guest draws it without the host; drawn once."""
    cache: dict[Drawing, Picture] = machine.notes
    if drawing not in cache:
        with held(machine, drawing, SOFTWARE) as renderer:
            assert renderer.startswith("llvmpipe")
            cache[drawing] = steady(machine)
    return cache[drawing]


def shown_picture(machine: Machine, drawing: Drawing, expected: Picture) -> Deviation:
    """How far the screen is from a picture when the host draws."""
    with held(machine, drawing) as renderer:
        assert renderer.startswith("virgl")
        return nearest(machine, expected)


def is_drawing(shown: Picture) -> bool:
    """And no console."""
    return (shown.width, shown.height) == MODE and len(shown.colours()) > 100


def steady(machine: Machine) -> Picture:
    """The first picture that is no console, and does not change any more."""
    last = machine.wait_picture(is_drawing, "a drawing")
    while True:
        time.sleep(0.3)
        picture = machine.screendump()
        if picture == last:
            return picture
        last = picture


# --- the program of our own


def start_scene(machine: Machine, frames: int, environment: str = "") -> None:
    """The cube begins to turn; ``environment`` may choose another renderer."""
    command = f"chroot {disk.ROOT} scene {SIZE} {frames}"
    machine.guest.run(f"{environment} {command} >/tmp/scene.log 2>&1 &")


def wait_for_scene(machine: Machine, timeout: float = 90) -> str:
    """Until the last frame is on the screen; the renderer's name."""
    end = time.monotonic() + timeout
    while "shown" not in (log := machine.guest.run("cat /tmp/scene.log")):
        if "failed" in log or time.monotonic() > end:
            raise AssertionError(f"scene: {log}")
        time.sleep(0.2)
    return log.splitlines()[0]


def wait_until_it_draws(machine: Machine) -> None:
    """Until frame follows frame on the screen: a single one may be left of a program that has just ended."""
    first = machine.wait_picture(is_drawing, "that of the scene")
    machine.wait_picture(lambda shown: is_drawing(shown) and shown != first, "the scene's next")


def stop_scene(machine: Machine) -> None:
    kill(machine, "scene")


@contextmanager
def shown_scene(machine: Machine, frames: int) -> Iterator[None]:
    """Its last frame is on the screen for as long as the block lasts, drawn by the host."""
    start_scene(machine, frames)
    assert wait_for_scene(machine).startswith("virgl")
    try:
        yield
    finally:
        stop_scene(machine)


def expected_scene(machine: Machine, frames: int) -> Picture:
    """Its last frame as the guest draws it without the host."""
    start_scene(machine, frames, SOFTWARE)
    assert wait_for_scene(machine).startswith("llvmpipe")
    picture = steady(machine)
    stop_scene(machine)
    return picture


def scene_off_screen(machine: Machine, frames: int, environment: str = "") -> Picture:
    """Its last frame as the render node gives it to the program; ``environment`` may choose another renderer."""
    command = f"env {environment} scene {SIZE} {frames} /tmp/scene.ppm"
    renderer = disk.run(machine, command)
    assert renderer.startswith("llvmpipe" if environment else "virgl")
    packed = machine.guest.run("gzip -1 -c /tmp/scene.ppm | base64")
    return Picture.from_ppm(gzip.decompress(base64.b64decode(packed)))
