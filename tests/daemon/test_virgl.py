# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The virglrenderer mode through the daemon: what contexts draw is seen, and a crash costs contexts alone."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ..device.process import opengl_unavailable
from ..driver import commands, commands_3d
from ..driver.backend import Backend, Machine
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.commands_3d import NOP, Box, Command3D, Resource3D
from ..driver.frontend import QEMU_FEATURES, Feature
from ..driver.gpu import CommandFailedError
from ..driver.memory import PAGE, Scattered
from .running import devices, machine_status, sessions, wait_until

CTX = 1
WIDTH, HEIGHT = 96, 64
WHOLE = Rectangle(0, 0, WIDTH, HEIGHT)
# Red 1, green 0.5, blue 0.25, as the display wants it.
COLOR, PIXEL = (1.0, 0.5, 0.25, 1.0), bytes((0x40, 0x80, 0xFF, 0xFF))
TWO_D = Format.B8G8R8X8_UNORM


pytestmark = pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())


def vgpud(socket_path: Path) -> list[str | Path]:
    program = [sys.executable, "-m", "vgpud", "--gpu-mode", "virglrenderer"]
    return [*program, "--socket-path", socket_path]


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """One for all: what a machine does must not be seen by the next."""
    with Backend(vgpud) as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    frontend = {"wanted_features": QEMU_FEATURES | Feature.VIRGL}
    with Machine(backend.socket_path, frontend=frontend, guest={"control_size": 256}) as machine:
        machine.guest.do(commands_3d.ctx_create(CTX))
        yield machine
        assert machine.display.violations == []
    assert_all_gone(backend)


def assert_all_gone(backend: Backend) -> None:
    """The daemon's machines, and their processes."""
    assert wait_until(
        lambda: not devices(backend.process.pid) and not sessions(backend.process.pid)
    )


def texture(
    machine: Machine, resource_id: int, pixel_format: int, flags: int = 0, ctx_id: int = CTX
) -> Scattered:
    """A resource of the context's, and the guest's memory behind it."""
    resource = Resource3D(format=pixel_format, width=WIDTH, height=HEIGHT, flags=flags)
    pages = machine.memory.allocate_pages(-(-WIDTH * HEIGHT * 4 // PAGE))
    entries = [(page, PAGE) for page in pages]
    machine.guest.do(commands_3d.resource_create_3d(resource_id, resource))
    machine.guest.do(commands.resource_attach_backing(resource_id, entries))
    machine.guest.do(commands_3d.ctx_attach_resource(ctx_id, resource_id))
    return Scattered(machine.memory, entries)


def show(machine: Machine, resource_id: int) -> None:
    machine.guest.do(commands.set_scanout(0, resource_id, WHOLE))
    machine.guest.do(commands.resource_flush(resource_id, WHOLE))


def put(machine: Machine, resource_id: int, box: Box, offset: int = 0) -> None:
    command = Command3D.TRANSFER_TO_HOST_3D
    request = commands_3d.transfer_3d(command, resource_id, box, ctx_id=CTX, offset=offset)
    machine.guest.do(request)


def test_status_names_contexts_resources_and_what_draws(backend: Backend, machine: Machine) -> None:
    machine.guest.do(commands_3d.ctx_create(7, b"glx\x1b[2Jgears", context_init=2))
    texture(machine, 5, 1)
    report = machine_status(backend.socket_path)
    assert report["renderer"].startswith("virglrenderer (libvirglrenderer.so.1.")
    # A renderer's name, as GL has it.
    assert re.search(r"; \S.*\)$", report["renderer"])
    assert report["contexts"] == [
        {"ctx_id": CTX, "capset_id": 0, "debug_name": "test"},
        {"ctx_id": 7, "capset_id": 2, "debug_name": "glx [2Jgears"},
    ]
    [resource] = report["resources"]
    assert (resource["kind"], resource["bytes"]) == ("3d", WIDTH * HEIGHT * 4)
    machine.guest.do(commands_3d.ctx_destroy(7))
    assert [one["ctx_id"] for one in machine_status(backend.socket_path)["contexts"]] == [CTX]


def test_a_screenshot_shows_what_a_context_draws(
    backend: Backend, machine: Machine, tmp_path: Path
) -> None:
    file = tmp_path / "screen.png"
    for resource_id in (5, 6):  # as a compositor does, in turn
        texture(machine, resource_id, 1)
        machine.guest.do(commands_3d.submit_3d(CTX, commands_3d.clear(resource_id, 1, COLOR)))
        show(machine, resource_id)
        save(backend, file)
        with Image.open(file) as image:
            assert image.size == (WIDTH, HEIGHT)
            assert image.tobytes() == bytes((0xFF, 0x80, 0x40)) * (WIDTH * HEIGHT)
    machine.guest.do(commands.resource_unref(6))
    with pytest.raises(subprocess.CalledProcessError):
        save(backend, file)


def save(backend: Backend, file: Path) -> None:
    command = [sys.executable, "-m", "vgpud.ctl", "--socket-path", str(backend.socket_path)]
    subprocess.run([*command, "screenshot", str(file)], check=True, timeout=20)


def test_contexts_go_with_the_device_process(backend: Backend, machine: Machine) -> None:
    before = machine_status(backend.socket_path)
    os.kill(before["device_process"], signal.SIGKILL)
    assert wait_until(
        lambda: (
            machine_status(backend.socket_path)["device_process"]
            not in (None, before["device_process"])
        )
    )
    machine.guest.display_info()
    report = machine_status(backend.socket_path)
    assert (report["contexts"], report["restarts"]) == ([], 1)


@pytest.mark.parametrize(
    "pixel_format",
    [1, 2, 67, 134, 100],
    ids=["BGRA", "BGRX", "RGBA", "RGBX", "BGRA_SRGB"],
)
def test_what_a_context_draws_is_seen_in_its_colours(machine: Machine, pixel_format: int) -> None:
    texture(machine, 5, pixel_format)
    # The linear format: what is written is what is read, whatever it means.
    linear = 1 if pixel_format == 100 else pixel_format
    machine.guest.do(commands_3d.submit_3d(CTX, commands_3d.clear(5, linear, COLOR)))
    show(machine, 5)
    assert machine.display.wait_for_picture(0, PIXEL * (WIDTH * HEIGHT))


@pytest.mark.parametrize("flags", [0, commands_3d.FLAG_Y_0_TOP])
def test_rows_are_seen_in_the_order_of_the_guests_memory(machine: Machine, flags: int) -> None:
    memory = texture(machine, 5, Format.B8G8R8A8_UNORM, flags)
    pixels = os.urandom(WIDTH * HEIGHT * 4)
    memory.write(0, pixels)
    put(machine, 5, Box(0, 0, 0, WIDTH, HEIGHT, 1))
    show(machine, 5)
    assert machine.display.wait_for_picture(0, pixels)


@pytest.mark.parametrize("flags", [0, commands_3d.FLAG_Y_0_TOP])
@pytest.mark.parametrize("pixel_format", [Format.B8G8R8X8_UNORM, Format.R8G8B8X8_UNORM])
def test_a_large_picture_is_seen_in_its_order(
    machine: Machine, pixel_format: int, flags: int
) -> None:
    width, height = 1000, 800
    large = Resource3D(format=pixel_format, width=width, height=height, flags=flags)
    address = machine.memory.allocate(width * height * 4, PAGE)
    machine.guest.do(commands_3d.resource_create_3d(5, large))
    machine.guest.do(commands.resource_attach_backing(5, [(address, width * height * 4)]))
    machine.guest.do(commands_3d.ctx_attach_resource(CTX, 5))
    pixels = bytearray(os.urandom(width * height * 4))
    pixels[3::4] = b"\xff" * (width * height)
    machine.memory.write(address, bytes(pixels))
    put(machine, 5, Box(0, 0, 0, width, height, 1))
    machine.guest.do(commands.set_scanout(0, 5, Rectangle(0, 0, width, height)))
    machine.guest.do(commands.resource_flush(5, Rectangle(0, 0, width, height)))
    if pixel_format == Format.R8G8B8X8_UNORM:
        pixels[0::4], pixels[2::4] = pixels[2::4], pixels[0::4]
    assert machine.display.wait_for_picture(0, bytes(pixels))


def test_only_the_flushed_rectangle_is_sent(machine: Machine) -> None:
    memory = texture(machine, 5, Format.R8G8B8X8_UNORM)
    memory.write(0, bytes(WIDTH * HEIGHT * 4))
    put(machine, 5, Box(0, 0, 0, WIDTH, HEIGHT, 1))
    show(machine, 5)
    memory.write(0, b"\xff" * (WIDTH * HEIGHT * 4))
    put(machine, 5, Box(0, 0, 0, WIDTH, HEIGHT, 1))
    area = Rectangle(8, 16, 24, 32)
    machine.guest.do(commands.resource_flush(5, area))
    display = machine.display
    assert display.wait_for(lambda: len(display.updates) == 2)
    sent = display.updates[-1]
    assert (sent.x, sent.y, sent.width, sent.height) == (8, 16, 24, 32)
    assert display.pictures[0].pixel(8, 16) == (255, 255, 255)
    assert display.pictures[0].pixel(7, 16) == (0, 0, 0)


def test_a_1080p_frame_is_seen_whole(machine: Machine) -> None:
    wide = Resource3D(format=Format.B8G8R8X8_UNORM, width=1920, height=1080)
    machine.guest.do(commands_3d.resource_create_3d(5, wide))
    machine.guest.do(commands_3d.ctx_attach_resource(CTX, 5))
    machine.guest.do(commands.set_scanout(0, 5, Rectangle(0, 0, 1920, 1080)))
    for color, pixel in ((COLOR, PIXEL), ((0.0, 1.0, 0.0, 1.0), bytes((0, 255, 0, 255)))):
        stream = commands_3d.clear(5, Format.B8G8R8X8_UNORM, color)
        machine.guest.do(commands_3d.submit_3d(CTX, stream, 1))
        machine.guest.do(commands.resource_flush(5, Rectangle(0, 0, 1920, 1080)))
        assert machine.display.wait_for_picture(0, pixel * (1920 * 1080))


def test_2d_is_seen_while_contexts_come_and_go(machine: Machine) -> None:
    resource = machine.guest.create_2d(WIDTH, HEIGHT, TWO_D)
    machine.guest.do(commands_3d.ctx_attach_resource(CTX, resource.resource_id))
    for byte in (0x33, 0x66):
        machine.guest.fill(resource, bytes([byte]) * 4)
        machine.guest.show(resource)
        assert machine.display.wait_for_picture(0, bytes([byte]) * (WIDTH * HEIGHT * 4))
        # From here on a context may have drawn into it.
        machine.guest.do(commands_3d.submit_3d(CTX, NOP))
    stream = commands_3d.clear(resource.resource_id, TWO_D, COLOR)
    machine.guest.do(commands_3d.submit_3d(CTX, stream))
    machine.guest.flush(resource)
    assert machine.display.wait_for_picture(0, PIXEL * (WIDTH * HEIGHT))


def test_a_crash_costs_contexts_and_nothing_else(machine: Machine) -> None:
    guest, display = machine.guest, machine.display
    desktop = guest.create_2d(WIDTH, HEIGHT)
    guest.fill(desktop, b"\x55" * 4)
    guest.show(desktop)
    texture(machine, 50, Format.B8G8R8A8_UNORM)
    crash = commands_3d.submit_3d(CTX, commands_3d.clear_texture_out_of_bounds(50), 7)
    response = guest.ask(crash)
    assert (response.type, response.fence_id) == (ResponseType.ERR_UNSPEC, 7)
    with pytest.raises(CommandFailedError) as lost:
        guest.do(commands_3d.submit_3d(CTX, NOP))
    assert lost.value.response.type == ResponseType.ERR_INVALID_CONTEXT_ID
    assert display.wait_for_picture(0, b"\x55" * (WIDTH * HEIGHT * 4))
    guest.fill(desktop, b"\x66" * 4)
    guest.transfer(desktop)
    guest.flush(desktop)
    assert display.wait_for_picture(0, b"\x66" * (WIDTH * HEIGHT * 4))
    # A new program, and the resource that outlived its context.
    guest.do(commands_3d.ctx_create(2))
    guest.do(commands_3d.ctx_attach_resource(2, 50))
    stream = commands_3d.clear(50, Format.B8G8R8A8_UNORM, COLOR)
    guest.do(commands_3d.submit_3d(2, stream, 8))
    show(machine, 50)
    assert display.wait_for_picture(0, PIXEL * (WIDTH * HEIGHT))


def test_a_guest_that_crashes_it_again_and_again_is_slowed_down(machine: Machine) -> None:
    guest = machine.guest
    began = time.monotonic()
    for turn in range(4):
        guest.do(commands_3d.ctx_create(10 + turn))
        texture(machine, 50 + turn, Format.B8G8R8A8_UNORM, ctx_id=10 + turn)
        stream = commands_3d.clear_texture_out_of_bounds(50 + turn)
        assert guest.ask(commands_3d.submit_3d(10 + turn, stream)).type == ResponseType.ERR_UNSPEC
    # 0, then 0.1, 0.2 and 0.4 seconds, by the configuration's defaults.
    assert time.monotonic() - began > 0.7


IMPATIENT = """
from vgpud.session import supervisor
supervisor.ANSWER_SECONDS, supervisor.LOOK_SECONDS = 2.0, 1.0
from vgpud.__main__ import main
main()
"""


def impatient(socket_path: Path) -> list[str | Path]:
    """A daemon that waits for seconds where others wait for half a minute."""
    program = [sys.executable, "-c", IMPATIENT, "--gpu-mode", "virglrenderer"]
    return [*program, "--socket-path", socket_path]


def test_a_stream_that_takes_minutes_costs_contexts_and_nothing_else() -> None:
    with (
        Backend(impatient) as backend,
        Machine(
            backend.socket_path, frontend={"wanted_features": QEMU_FEATURES | Feature.VIRGL}
        ) as machine,
    ):
        guest = machine.guest
        guest.do(commands_3d.ctx_create(CTX))
        desktop = guest.create_2d(WIDTH, HEIGHT)
        guest.fill(desktop, b"\x55" * 4)
        guest.show(desktop)
        large = Resource3D(format=Format.B8G8R8A8_UNORM, width=4096, height=4096)
        for resource_id in (50, 51):
            guest.do(commands_3d.resource_create_3d(resource_id, large))
            guest.do(commands_3d.ctx_attach_resource(CTX, resource_id))
        copy = commands_3d.copy_region(50, 51, Box(0, 0, 0, 4096, 4096, 1))
        before = machine_status(backend.socket_path)["device_process"]
        # 64 MiB each, copied within the call.
        pending = guest.submit(commands_3d.submit_3d(CTX, copy * 10000, 7))
        assert wait_until(lambda: machine_status(backend.socket_path)["restarts"] == 1, 20)
        assert not Path(f"/proc/{before}").exists()
        assert f"device process {before} does not answer Ping" in backend.log
        response = guest.wait(pending)
        assert (response.type, response.fence_id) == (ResponseType.ERR_UNSPEC, 7)
        lost = guest.ask(commands_3d.submit_3d(CTX, NOP))
        assert lost.type == ResponseType.ERR_INVALID_CONTEXT_ID
        assert machine.display.wait_for_picture(0, b"\x55" * (WIDTH * HEIGHT * 4))
        guest.do(commands_3d.ctx_create(2))
        guest.do(commands_3d.submit_3d(2, NOP, 8))


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--use-egl=false"], "--use-egl"),
        (["--use-egl=false", "--use-glx"], "DISPLAY is not set"),
        (["--use-surfaceless=false"], "--gpu-device"),
        (["--gpu-device", "/dev/null"], "not a DRM device"),
        (["--gpu-device", "/dev/nothing"], "there is no GPU /dev/nothing"),
        (["--capset", "drm"], "DRM native contexts"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_the_mode_that_cannot_start_ends_with_69_and_one_line(
    tmp_path: Path, flags: list[str], reason: str
) -> None:
    path = tmp_path / "socket"
    done = subprocess.run(
        [*vgpud(path), *flags],
        env={name: value for name, value in os.environ.items() if name != "DISPLAY"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr
    assert not path.exists()


def test_what_is_missing_for_vulkan_is_said(tmp_path: Path) -> None:
    """With the package that has it; without being asked for it is done without, and said too."""
    environment = os.environ | {"RENDER_SERVER_EXEC_PATH": str(tmp_path / "nothing")}
    done = subprocess.run(
        [*vgpud(tmp_path / "socket"), "--capset", "virgl,venus"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 69
    assert "virgl-server" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "vgpud", "--print-capabilities"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=True,
    )
    found = json.loads(done.stdout)["renderers"]["virglrenderer"]
    assert found["capsets"] == [1, 2]
    assert "virgl-server" in found["without"]["venus"]
