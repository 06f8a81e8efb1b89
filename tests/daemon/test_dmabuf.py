# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Frames that OpenGL drew as DMA buffers, from the guest's flush to the display socket.

Without a GPU a library of the tests' own stands in for the export of textures: memory files, which are passed on alike.
"""

import os
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from ..device.process import opengl_unavailable
from ..driver import commands, commands_3d
from ..driver.backend import Backend, Machine
from ..driver.commands import Rectangle
from ..driver.display import Display, DisplayServer
from ..driver.frontend import QEMU_FEATURES, Feature
from ..driver.rfb import Viewer
from ..stand_in import exporter
from .running import devices, machine_status, settled_descriptors, wait_until
from .test_virgl import (
    COLOR,
    CTX,
    HEIGHT,
    PIXEL,
    WHOLE,
    WIDTH,
    assert_all_gone,
    save,
    show,
    texture,
    vgpud,
)

pytestmark = pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())

Start = Callable[..., Backend]
BGRA = 1
Y_0_TOP = 1
PICTURE = PIXEL * (WIDTH * HEIGHT)
PARTS = Rectangle(0, 0, WIDTH // 2, HEIGHT), Rectangle(WIDTH // 2, 0, WIDTH // 2, HEIGHT)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running = []

    def begin(*options: str, export: str = "WORKS") -> Backend:
        backend = Backend(
            lambda path: [*vgpud(path), *options], environment=exporter(tmp_path, export)
        )
        running.append(backend)
        return backend

    yield begin
    for backend in running:
        backend.close()


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One for all that want nothing else."""
    with Backend(
        vgpud, environment=exporter(tmp_path_factory.mktemp("export"), "WORKS")
    ) as running:
        yield running


def machine_of(backend: Backend) -> Machine:
    frontend = {"wanted_features": QEMU_FEATURES | Feature.VIRGL}
    machine = Machine(backend.socket_path, frontend=frontend, guest={"control_size": 256})
    machine.guest.do(commands_3d.ctx_create(CTX))
    assert machine.display.wait_for(
        lambda: Display.SET_PROTOCOL_FEATURES in machine.display.messages
    )
    return machine


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    with machine_of(backend) as machine:
        yield machine
        assert machine.display.violations == []
    assert_all_gone(backend)


def clear(machine: Machine, resource_id: int, color: tuple[float, ...] = COLOR) -> None:
    machine.guest.do(commands_3d.submit_3d(CTX, commands_3d.clear(resource_id, BGRA, color)))  # type: ignore[arg-type]


def drawn(machine: Machine, resource_id: int, flags: int = 0) -> None:
    """A texture of one color."""
    texture(machine, resource_id, BGRA, flags)
    clear(machine, resource_id)


def frames(machine: Machine, count: int) -> bool:
    return machine.display.wait_for(lambda: len(machine.display.frames) >= count)


def test_a_texture_is_shown_without_its_pixels(backend: Backend, machine: Machine) -> None:
    drawn(machine, 5, Y_0_TOP)
    show(machine, 5)
    assert frames(machine, 1)
    buffer = machine.display.buffers[0]
    assert buffer.pixels == PICTURE
    assert (buffer.width, buffer.height, buffer.fd_stride) == (WIDTH, HEIGHT, WIDTH * 4)
    assert buffer.fd_drm_fourcc.to_bytes(4, "little") == b"AR24"
    assert buffer.fd_flags == Y_0_TOP
    assert machine.display.updates == []
    assert wait_until(
        lambda: machine_status(backend.socket_path)["presented"]["dmabuf_updates"] == 1
    )


def test_rows_from_the_bottom_are_told_to_be_that(machine: Machine) -> None:
    drawn(machine, 5)
    show(machine, 5)
    assert frames(machine, 1)
    assert machine.display.buffers[0].fd_flags == 0


def test_pages_that_are_turned_are_exported_once_each(machine: Machine) -> None:
    drawn(machine, 5)
    drawn(machine, 6)
    files = []
    for turn in range(6):
        show(machine, 5 + turn % 2)
        assert frames(machine, turn + 1)
        files.append(machine.display.buffers[0].file)
    assert files == files[:2] * 3
    assert files[0] != files[1]


def test_a_flushed_part_is_what_the_display_hears_of(machine: Machine) -> None:
    drawn(machine, 5)
    show(machine, 5)
    assert frames(machine, 1)
    machine.guest.do(commands.resource_flush(5, Rectangle(3, 4, 5, 6)))
    assert frames(machine, 2)
    frame = machine.display.frames[1]
    assert (frame.x, frame.y, frame.width, frame.height) == (3, 4, 5, 6)
    assert len(machine.display.buffers) == 1


def test_a_guest_does_not_wait_for_a_display_that_shows_nothing(machine: Machine) -> None:
    machine.display.shows = False
    for resource_id in (5, 6):
        drawn(machine, resource_id)
    for turn in range(300):
        show(machine, 5 + turn % 2)
    assert len(machine.display.frames) == 1
    machine.display.show_frame()
    assert frames(machine, 2)


def test_a_part_of_a_texture_goes_as_pixels(machine: Machine) -> None:
    """QEMU takes no notice of where in a buffer the scanout begins."""
    drawn(machine, 5)
    for scanout_id, part in enumerate(PARTS):
        machine.guest.do(commands.set_scanout(scanout_id, 5, part))
    machine.guest.do(commands.resource_flush(5, WHOLE))
    for scanout_id in range(2):
        assert machine.display.wait_for_picture(scanout_id, PIXEL * (WIDTH // 2 * HEIGHT))
    assert machine.display.buffers == {}


def test_pixels_after_a_buffer_are_all_there_are(machine: Machine) -> None:
    """Nothing was read back while the buffer was shown."""
    drawn(machine, 5)
    show(machine, 5)
    assert frames(machine, 1)
    machine.guest.do(commands.set_scanout(0, 5, PARTS[1]))
    machine.guest.do(commands.resource_flush(5, Rectangle(WIDTH // 2, 0, 1, 1)))
    assert machine.display.wait_for_picture(0, PIXEL * (WIDTH // 2 * HEIGHT))
    assert machine.display.buffers == {}
    show(machine, 5)
    assert frames(machine, 2)


def test_one_texture_is_a_buffer_here_and_pixels_there(machine: Machine) -> None:
    drawn(machine, 5)
    machine.guest.do(commands.set_scanout(1, 5, PARTS[0]))
    show(machine, 5)
    assert frames(machine, 1)
    assert machine.display.wait_for_picture(1, PIXEL * (WIDTH // 2 * HEIGHT))


def test_a_console_is_pixels_before_and_after_a_texture(machine: Machine) -> None:
    console = machine.guest.create_2d(WIDTH, HEIGHT)
    grey = bytes((0x20, 0x20, 0x20, 0xFF)) * (WIDTH * HEIGHT)
    for count in range(1, 4):
        machine.guest.draw(console, WHOLE, grey)
        machine.guest.show(console)
        assert machine.display.wait_for_picture(0, grey)
        assert 0 not in machine.display.buffers
        if count == 1:
            drawn(machine, 50)
        show(machine, 50)
        assert frames(machine, count)


def test_a_texture_that_is_destroyed_while_it_is_shown_disables_the_scanout(
    machine: Machine,
) -> None:
    drawn(machine, 5)
    show(machine, 5)
    assert frames(machine, 1)
    machine.guest.do(commands.resource_unref(5))
    assert machine.display.wait_for(lambda: Display.SCANOUT in machine.display.messages)
    assert machine.display.buffers == {}


def test_textures_that_are_gone_leave_no_descriptor(backend: Backend, machine: Machine) -> None:
    drawn(machine, 5)
    show(machine, 5)
    assert frames(machine, 1)
    [device] = devices(backend.process.pid)
    before = [settled_descriptors(one) for one in (device, backend.process.pid)]
    for turn in range(100):
        drawn(machine, 6)
        show(machine, 6)
        assert frames(machine, 2 * turn + 2)
        show(machine, 5)
        assert frames(machine, 2 * turn + 3)
        machine.guest.do(commands.resource_unref(6))
    after = [settled_descriptors(one) for one in (device, backend.process.pid)]
    assert [len(one) for one in after] == [len(one) for one in before]


def test_more_textures_than_may_be_exported_go_as_pixels(machine: Machine) -> None:
    for resource_id in range(5, 5 + 70):
        drawn(machine, resource_id)
        show(machine, resource_id)
    assert machine.display.wait_for_picture(0, PICTURE)
    assert len(machine.display.frames) <= 64


def test_a_screenshot_of_a_buffer_shows_what_is_drawn(
    backend: Backend, machine: Machine, tmp_path: Path
) -> None:
    drawn(machine, 5)
    show(machine, 5)
    clear(machine, 5, (0.0, 0.0, 1.0, 1.0))
    machine.guest.do(commands.resource_flush(5, WHOLE))
    file = tmp_path / "screen.png"
    save(backend, file)
    with Image.open(file) as image:
        assert image.tobytes() == bytes((0, 0, 0xFF)) * (WIDTH * HEIGHT)


def test_a_new_display_shows_the_buffer(backend: Backend, machine: Machine) -> None:
    drawn(machine, 5)
    show(machine, 5)
    assert frames(machine, 1)
    machine.stop()
    machine.cont()
    assert frames(machine, 1)
    assert machine.display.buffers[0].pixels == PICTURE
    frame = machine.display.frames[0]
    assert (frame.x, frame.y, frame.width, frame.height) == (0, 0, WIDTH, HEIGHT)


def test_a_device_process_that_dies_leaves_the_display_to_its_successor(
    backend: Backend, machine: Machine
) -> None:
    drawn(machine, 5)
    show(machine, 5)
    assert frames(machine, 1)
    [device] = devices(backend.process.pid)
    os.kill(device, signal.SIGKILL)
    assert wait_until(lambda: devices(backend.process.pid) not in ([], [device]), 10)
    machine.guest.do(commands_3d.ctx_create(CTX + 1))
    before = len(machine.display.frames)
    texture(machine, 60, BGRA, ctx_id=CTX + 1)
    stream = commands_3d.clear(60, BGRA, COLOR)
    machine.guest.do(commands_3d.submit_3d(CTX + 1, stream))
    show(machine, 60)
    assert frames(machine, before + 1)
    assert machine.display.wait_for(
        lambda: 0 in machine.display.buffers and machine.display.buffers[0].pixels == PICTURE
    )


def test_a_reset_lets_go_of_every_texture(backend: Backend, machine: Machine) -> None:
    [device] = devices(backend.process.pid)
    before = len([one for one in settled_descriptors(device) if "memfd:texture" in one])
    for resource_id in range(5, 10):
        drawn(machine, resource_id)
        show(machine, resource_id)
    machine.reboot()
    assert before == 0
    assert wait_until(
        lambda: not any("memfd:texture" in one for one in settled_descriptors(device))
    )


def test_pixels_are_sent_when_that_is_asked_for(start: Start) -> None:
    backend = start("--display-transport", "pixels")
    frontend = {"wanted_features": QEMU_FEATURES | Feature.VIRGL}
    with Machine(backend.socket_path, frontend=frontend) as machine:
        machine.guest.do(commands_3d.ctx_create(CTX))
        drawn(machine, 5)
        show(machine, 5)
        assert machine.display.wait_for_picture(0, PICTURE)
        assert machine.display.buffers == {}
        assert machine.display.violations == []


@pytest.mark.parametrize("export", ["FAILS", "OFFSET", "STRIDE"])
@pytest.mark.parametrize("transport", ["auto", "dmabuf"])
def test_a_texture_that_cannot_be_exported_goes_as_pixels(
    start: Start, export: str, transport: str
) -> None:
    backend = start("--display-transport", transport, export=export)
    with machine_of(backend) as machine:
        drawn(machine, 5)
        show(machine, 5)
        assert machine.display.wait_for_picture(0, PICTURE)
        assert machine.display.buffers == {}
        assert machine.display.violations == []
    refused = "resource 5 cannot be shown from a DMA buffer"
    if transport == "dmabuf":
        assert wait_until(lambda: refused in backend.log)
    else:
        assert refused not in backend.log


def test_dmabuf_without_a_gpu_is_said_to_be_pixels() -> None:
    def program(path: Path) -> list[str | Path]:
        return [*vgpud(path), "--display-transport", "dmabuf"]

    with Backend(program) as backend, machine_of(backend) as machine:
        drawn(machine, 5)
        show(machine, 5)
        assert machine.display.wait_for_picture(0, PICTURE)
        assert machine.display.violations == []
        assert wait_until(lambda: "frames are sent as pixels, not as DMA buffers" in backend.log)


def test_a_display_without_modifiers_is_served(backend: Backend) -> None:
    frontend = {"wanted_features": QEMU_FEATURES | Feature.VIRGL}
    with Machine(backend.socket_path, frontend=frontend) as machine:
        machine.stop()
        machine.display = DisplayServer(protocol_features=0)
        theirs = machine.display.theirs
        machine.frontend.cont(machine.memory, machine.guest.queues, theirs)
        machine.guest.do(commands_3d.ctx_create(CTX))
        drawn(machine, 5)
        show(machine, 5)
        assert frames(machine, 1)
        assert machine.display.buffers[0].modifier is None
        assert machine.display.violations == []
    assert_all_gone(backend)


@pytest.mark.skipif(
    find_spec("vgpud._view") is None, reason="it is built where libvncserver's headers are"
)
def test_whoever_looks_on_is_shown_what_a_buffer_shows(start: Start, tmp_path: Path) -> None:
    address = tmp_path / "view"
    backend = start("--view", f"unix:{address}")
    with machine_of(backend) as machine:
        drawn(machine, 5, Y_0_TOP)
        show(machine, 5)
        assert frames(machine, 1)
        with Viewer.at(address) as viewer:
            assert viewer.until_picture(PICTURE, WIDTH)
            # What is drawn meanwhile too.
            clear(machine, 5, (1.0, 0.0, 0.0, 1.0))
            show(machine, 5)
            assert viewer.until_picture(b"\x00\x00\xff\xff" * (WIDTH * HEIGHT), WIDTH)
        # And then it is a DMA buffer again.
        before = len(machine.display.frames)
        assert wait_until(lambda: shown_from_buffer_again(machine, before), 5)


def shown_from_buffer_again(machine: Machine, before: int) -> bool:
    show(machine, 5)
    return len(machine.display.frames) > before
