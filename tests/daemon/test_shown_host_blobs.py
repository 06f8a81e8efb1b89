# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Host blobs on the screen, through the whole daemon: what a guest draws where its VMM has mapped them, and what is left when
whoever made them dies.

A library of the tests' own makes the memory; what OpenGL draws into is the real one's.
"""

import mmap
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from ..device.process import opengl_unavailable
from ..driver import commands, commands_3d
from ..driver.backend import Backend, Machine
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.commands_3d import Resource3D
from ..driver.frontend import GENERIC_FEATURES, QEMU_PROTOCOL, Feature, Protocol
from ..driver.rfb import Viewer
from ..driver.shared_region import SharedRegion
from ..stand_in import blobs
from .running import COMMAND, devices, settled_descriptors, status, wait_until

pytestmark = pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())

OK = ResponseType.OK_NODATA
UNSPEC = ResponseType.ERR_UNSPEC
INVALID_PARAMETER = ResponseType.ERR_INVALID_PARAMETER
# By blob_id, as blobs.c has them.
(RING, DEVICE_MEMORY, SHORT_MEMORY, DMABUF, STRANGE, NO_MAP_INFO, NO_FILE, UNSEALED) = range(8)
OPENGL = 100
CTX = 1
WIDTH, HEIGHT = 160, 120
SIZE = WIDTH * HEIGHT * 4
WHOLE = Rectangle(0, 0, WIDTH, HEIGHT)
BGRX = Format.B8G8R8X8_UNORM


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    configuration = tmp_path_factory.mktemp("vgpud") / "vgpud.toml"
    configuration.write_text("[device_process]\nrestarts = 1000\nrestart_delay = 0.0\n")
    options = ("--gpu-mode", "virglrenderer", "--config", str(configuration))
    with Backend(
        lambda path: [
            *COMMAND,
            "--socket-path",
            str(path),
            *options,
            "--view",
            f"unix:{path}.view",
        ],
        environment=blobs(tmp_path_factory.mktemp("stand_in")),
    ) as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    frontend = {
        "wanted_features": GENERIC_FEATURES | Feature.VIRGL,
        "wanted_protocol": QEMU_PROTOCOL | Protocol.SHMEM,
        "timeout": 20.0,
    }
    guest = {"control_size": 256, "timeout": 20.0}
    with Machine(backend.socket_path, frontend=frontend, guest=guest) as made:
        made.guest.do(commands_3d.ctx_create(CTX))
        yield made
        assert made.display.violations == []


@pytest.fixture
def region(machine: Machine) -> Iterator[SharedRegion]:
    with SharedRegion(machine.frontend) as made:
        yield made


@dataclass
class Screen:
    """A blob of the host's that a guest draws into by the processor."""

    machine: Machine
    number: int
    mapped: mmap.mmap

    def draw(self, seed: int) -> bytes:
        pixels = random.Random(seed).randbytes(SIZE)
        self.mapped[:SIZE] = pixels
        return pixels

    def show(self) -> int:
        """On the first scanout."""
        plane = commands.Plane(WIDTH, HEIGHT, BGRX, WIDTH * 4)
        request = commands.set_scanout_blob(0, self.number, WHOLE, plane)
        return self.machine.guest.ask(request).type

    def flush(self) -> int:
        return self.machine.guest.ask(commands.resource_flush(self.number, WHOLE)).type


def screen(machine: Machine, region: SharedRegion, kind: int, number: int = 1) -> Screen:
    guest = machine.guest
    guest.do(commands.create_host_blob(number, SIZE, CTX, kind))
    place = number << 24
    guest.do(commands.resource_map_blob(number, place), commands.MAP_INFO_SIZE)
    assert wait_until(lambda: place in region.windows)
    window = region.windows[place]
    mapped = mmap.mmap(window.fd, SIZE, offset=window.mmap_offset)
    return Screen(machine, number, mapped)


def kill_device(backend: Backend) -> None:
    [process_id] = devices(backend.process.pid)
    os.kill(process_id, signal.SIGKILL)
    assert wait_until(lambda: devices(backend.process.pid) not in ([], [process_id]))


def screenshot(backend: Backend, file: Path) -> bytes:
    """Blue, green, red of each pixel."""
    command = [sys.executable, "-m", "vgpud.ctl", "--socket-path", str(backend.socket_path)]
    subprocess.run([*command, "screenshot", str(file)], check=True, timeout=20)
    with Image.open(file) as image:
        assert image.size == (WIDTH, HEIGHT)
        return image.convert("RGB").tobytes("raw", "BGR")


def without_fourth(pixels: bytes) -> bytes:
    return b"".join(pixels[at : at + 3] for at in range(0, len(pixels), 4))


@pytest.mark.parametrize("kind", [RING, DEVICE_MEMORY, DMABUF, UNSEALED])
def test_what_is_drawn_in_memory_of_every_kind_is_shown(
    backend: Backend, machine: Machine, region: SharedRegion, kind: int, tmp_path: Path
) -> None:
    drawn = screen(machine, region, kind)
    assert drawn.show() == OK
    for seed in range(4):
        pixels = drawn.draw(seed)
        assert drawn.flush() == OK
        assert machine.display.wait_for_picture(0, pixels)
    assert screenshot(backend, tmp_path / "screen.png") == without_fourth(pixels)


def test_pages_that_are_turned(machine: Machine, region: SharedRegion) -> None:
    pages = [screen(machine, region, kind, 1 + kind) for kind in (RING, DEVICE_MEMORY)]
    for turn in range(8):
        page = pages[turn % 2]
        pixels = page.draw(turn)
        assert page.show() == OK
        assert page.flush() == OK
        assert machine.display.wait_for_picture(0, pixels)


@pytest.mark.parametrize(
    ("kind", "response"),
    [(SHORT_MEMORY, INVALID_PARAMETER), (STRANGE, UNSPEC), (NO_MAP_INFO, OK), (NO_FILE, UNSPEC)],
)
def test_memory_that_cannot_be_read_is_not_shown(
    machine: Machine, kind: int, response: int
) -> None:
    """Who wants no more than to read it need not know how it is cached."""
    machine.guest.do(commands.create_host_blob(1, SIZE, CTX, kind))
    plane = commands.Plane(WIDTH, HEIGHT, BGRX, WIDTH * 4)
    request = commands.set_scanout_blob(0, 1, WHOLE, plane)
    assert machine.guest.ask(request).type == response
    assert machine.guest.ask(commands.resource_unref(1)).type == OK


def test_who_looks_before_the_first_flush_sees_what_is_in_the_blob(
    backend: Backend, machine: Machine, region: SharedRegion, tmp_path: Path
) -> None:
    drawn = screen(machine, region, RING)
    pixels = drawn.draw(1)
    assert drawn.show() == OK
    assert screenshot(backend, tmp_path / "screen.png") == without_fourth(pixels)


def test_viewers_see_it(backend: Backend, machine: Machine, region: SharedRegion) -> None:
    drawn = screen(machine, region, DEVICE_MEMORY)
    assert drawn.show() == OK
    pixels = drawn.draw(1)
    assert drawn.flush() == OK
    assert machine.display.wait_for_picture(0, pixels)
    with Viewer.at(Path(f"{backend.socket_path}.view")) as viewer:
        assert viewer.until_picture(pixels, WIDTH)
        pixels = drawn.draw(2)
        assert drawn.flush() == OK
        assert viewer.until_picture(pixels, WIDTH)


# --- who dies


def test_the_screen_stays_as_it_was_when_the_device_process_dies(
    backend: Backend, machine: Machine, region: SharedRegion, tmp_path: Path
) -> None:
    guest = machine.guest
    drawn = screen(machine, region, DEVICE_MEMORY)
    assert drawn.show() == OK
    pixels = drawn.draw(1)
    assert drawn.flush() == OK
    assert machine.display.wait_for_picture(0, pixels)
    for turn in range(3):
        # What the guest draws now nobody sees.
        drawn.draw(10 + turn)
        kill_device(backend)
        assert drawn.flush() == UNSPEC
        assert drawn.show() == UNSPEC
        assert screenshot(backend, tmp_path / "screen.png") == without_fourth(pixels)
        assert machine.display.wait_for_picture(0, pixels)
    # One that comes later sees it too.
    machine.stop()
    machine.cont()
    assert machine.display.wait_for_picture(0, pixels)
    # The guest can get rid of it, and goes on with what it makes then.
    assert guest.ask(commands.resource_unmap_blob(1)).type == OK
    assert guest.ask(commands.resource_unref(1)).type == OK
    assert guest.ask(commands_3d.ctx_create(CTX)).type == OK
    drawn = screen(machine, region, RING, 2)
    assert drawn.show() == OK
    pixels = drawn.draw(20)
    assert drawn.flush() == OK
    assert machine.display.wait_for_picture(0, pixels)


def test_no_picture_is_left_of_what_is_shown_no_more(
    backend: Backend, machine: Machine, region: SharedRegion
) -> None:
    [session] = [one["session_process"] for one in status(backend.socket_path)["machines"]]
    drawn = screen(machine, region, RING)

    def pictures() -> int:
        return sum("vgpud-image" in name for name in settled_descriptors(session))

    before = pictures()
    for _ in range(3):
        assert drawn.show() == OK
        assert drawn.flush() == OK
        assert pictures() > before
        machine.guest.set_scanout(0, None)
        assert pictures() == before
    assert drawn.show() == OK
    kill_device(backend)
    assert machine.guest.ask(commands.resource_unref(1)).type == OK
    assert pictures() == before


def test_a_blob_that_is_lost_before_it_was_drawn_is_black(
    backend: Backend, machine: Machine, region: SharedRegion, tmp_path: Path
) -> None:
    drawn = screen(machine, region, RING)
    assert drawn.show() == OK
    kill_device(backend)
    assert drawn.flush() == UNSPEC
    assert screenshot(backend, tmp_path / "screen.png") == bytes(SIZE // 4 * 3)


# --- textures


def texture(machine: Machine, number: int, pixel_format: Format = BGRX) -> None:
    """A blob that is a texture, orange all over."""
    made = Resource3D(format=pixel_format, width=WIDTH, height=HEIGHT)
    request = commands_3d.create_for_blob(OPENGL + number, made)
    machine.guest.do(commands_3d.submit_3d(CTX, request))
    machine.guest.do(commands.create_host_blob(number, SIZE, CTX, OPENGL + number))
    machine.guest.do(commands_3d.ctx_attach_resource(CTX, number))
    clear(machine, number, pixel_format)


def clear(machine: Machine, number: int, pixel_format: Format) -> None:
    request = commands_3d.clear(number, pixel_format, (1.0, 0.5, 0.25, 1.0))
    machine.guest.do(commands_3d.submit_3d(CTX, request))


@pytest.mark.parametrize(
    "pixel_format", [Format.B8G8R8X8_UNORM, Format.B8G8R8A8_UNORM, Format.R8G8B8A8_UNORM]
)
def test_a_texture_is_read_by_the_library(machine: Machine, pixel_format: Format) -> None:
    """It has no file, and rows of its own."""
    texture(machine, 1, pixel_format)
    plane = commands.Plane(WIDTH, HEIGHT, pixel_format, WIDTH * 4)
    machine.guest.do(commands.set_scanout_blob(0, 1, WHOLE, plane))
    machine.guest.do(commands.resource_flush(1, WHOLE))
    assert machine.display.wait_for_picture(0, b"\x40\x80\xff\xff" * (WIDTH * HEIGHT))


@pytest.mark.parametrize(
    "plane",
    [
        commands.Plane(WIDTH - 1, HEIGHT, BGRX, WIDTH * 4),
        commands.Plane(WIDTH, HEIGHT - 1, BGRX, WIDTH * 4),
        commands.Plane(WIDTH, HEIGHT, Format.X8R8G8B8_UNORM, WIDTH * 4),
    ],
)
def test_a_texture_is_shown_as_what_it_is(machine: Machine, plane: commands.Plane) -> None:
    texture(machine, 1)
    area = Rectangle(0, 0, plane.width, plane.height)
    request = commands.set_scanout_blob(0, 1, area, plane)
    assert machine.guest.ask(request).type == INVALID_PARAMETER
