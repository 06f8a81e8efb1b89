# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Viewers see what a guest shows, whatever they do, and cost the guest nothing."""

import os
import random
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from ..device.process import opengl_unavailable
from ..driver import commands_3d
from ..driver.backend import Backend, Machine
from ..driver.frontend import GENERIC_FEATURES, QEMU_FEATURES, Feature
from ..driver.gpu import Rectangle, Resource
from ..driver.memory import MiB
from ..driver.rfb import BGRX, DESKTOP_SIZE, RAW, Viewer, opaque
from .running import daemon, devices, is_running, named, show, status, vmm, wait_until
from .test_virgl import CTX, HEIGHT, WIDTH, texture
from .test_virgl import show as draw_3d

VIEWERS_MAX = 8
BGRA = 1
pytest.importorskip("vgpud._view", reason="it is built where libvncserver's headers are")


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "view"


@pytest.fixture
def backend(address: Path) -> Iterator[Backend]:
    with daemon("--view", f"unix:{address}") as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    with Machine(backend.socket_path, headless=True) as machine:
        yield machine


def views(backend: Backend) -> list[int]:
    return named(backend.process.pid, "vgpud-view")


def shown(machine: Machine, width: int, height: int, scanout_id: int = 0) -> tuple[Resource, bytes]:
    """A picture on a scanout, and what is in it."""
    resource = machine.guest.create_2d(width, height)
    pixels = os.urandom(width * height * 4)
    machine.guest.draw(resource, resource.whole, pixels)
    machine.guest.show(resource, scanout_id)
    return resource, pixels


def test_a_picture_is_seen(machine: Machine, address: Path) -> None:
    _, pixels = shown(machine, 640, 400)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 640)
        assert viewer.size == (640, 400)


def redraw(machine: Machine, resource: Resource, area: Rectangle | None = None) -> bytes:
    """Something else in a rectangle of it; those pixels."""
    area = area or resource.whole
    pixels = os.urandom(area.width * area.height * 4)
    machine.guest.draw(resource, area, pixels)
    machine.guest.transfer(resource, area)
    machine.guest.flush(resource, area)
    return pixels


def test_what_changes_is_seen(machine: Machine, address: Path) -> None:
    resource, pixels = shown(machine, 700, 300)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 700)
        for area in (resource.whole, Rectangle(13, 21, 600, 200), Rectangle(690, 299, 10, 1)):
            # A large rectangle goes by the image, a small one by the ring.
            pixels = redraw(machine, resource, area)
            assert viewer.until(partial(shows, viewer, area, pixels))


def shows(viewer: Viewer, area: Rectangle, pixels: bytes) -> bool:
    return viewer.area(area.x, area.y, area.width, area.height) == opaque(pixels)


def test_another_size_is_seen(machine: Machine, address: Path) -> None:
    _, pixels = shown(machine, 320, 200)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 320)
        for width, height in ((1024, 768), (641, 333), (16, 16)):
            _, pixels = shown(machine, width, height)
            assert viewer.until_picture(pixels, width)
            assert viewer.size == (width, height)


def test_a_screen_that_goes_dark_is_seen_dark(machine: Machine, address: Path) -> None:
    _, pixels = shown(machine, 320, 200)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 320)
        machine.guest.set_scanout(0, None)
        assert viewer.until_picture(bytes(320 * 200 * 4), 320)
        _, pixels = shown(machine, 320, 200)
        assert viewer.until_picture(pixels, 320)


def test_scanouts_are_seen_side_by_side(backend: Backend, address: Path) -> None:
    with Machine(backend.socket_path) as machine:
        _, first = shown(machine, 200, 150)
        with Viewer.at(address) as viewer:
            assert viewer.until_picture(first, 200)
            _, second = shown(machine, 100, 300, scanout_id=1)
            assert viewer.until_picture(second, 100, x=200)
            assert viewer.size == (300, 300)
            assert viewer.until_picture(first, 200)
            # The first grows, and the second stays what it is.
            _, first = shown(machine, 250, 150)
            assert viewer.until_picture(first, 250)
            assert viewer.until_picture(second, 100, x=250)
            machine.guest.set_scanout(0, None)
            assert viewer.until_picture(second, 100)
            assert viewer.size == (100, 300)


def test_several_look_on(machine: Machine, address: Path, backend: Backend) -> None:
    resource, pixels = shown(machine, 400, 300)
    with Viewer.at(address) as first, Viewer.at(address) as second:
        assert first.until_picture(pixels, 400)
        assert second.until_picture(pixels, 400)
        assert len(views(backend)) == 2
        assert status(backend.socket_path)["machines"][0]["viewers"] == 2
        pixels = redraw(machine, resource)
        assert first.until_picture(pixels, 400)
        assert second.until_picture(pixels, 400)
    assert wait_until(lambda: views(backend) == [], 5)


def test_one_too_many_is_turned_away_and_the_others_see_on(machine: Machine, address: Path) -> None:
    resource, pixels = shown(machine, 64, 64)
    with ExitStack() as viewers:
        seeing = [viewers.enter_context(Viewer.at(address)) for _ in range(VIEWERS_MAX)]
        with pytest.raises(ConnectionResetError):
            Viewer.at(address)
        pixels = redraw(machine, resource)
        assert all(viewer.until_picture(pixels, 64) for viewer in seeing)
    # It is known a moment later that they have gone.
    assert wait_until(partial(sees, address, pixels, 64), 5)


def sees(address: Path, pixels: bytes, width: int) -> bool:
    """Whether a viewer that connects now is shown that."""
    try:
        with Viewer.at(address) as viewer:
            return viewer.until_picture(pixels, width)
    except ConnectionResetError:
        return False


def test_a_view_process_comes_with_a_viewer_and_goes_with_him(
    backend: Backend, machine: Machine, address: Path
) -> None:
    resource, pixels = shown(machine, 64, 64)
    assert views(backend) == []
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 64)
        assert len(views(backend)) == 1
    assert wait_until(lambda: views(backend) == [], 5)
    # The next one sees what is shown by then.
    pixels = redraw(machine, resource)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 64)


def test_a_view_process_that_dies_costs_its_viewer_alone(
    backend: Backend, machine: Machine, address: Path
) -> None:
    resource, pixels = shown(machine, 200, 100)
    with Viewer.at(address) as other:
        assert other.until_picture(pixels, 200)
        (before,) = views(backend)
        with Viewer.at(address) as viewer:
            assert viewer.until_picture(pixels, 200)
            (process,) = set(views(backend)) - {before}
            os.kill(process, signal.SIGKILL)
            assert viewer.is_dropped()
        pixels = redraw(machine, resource)
        assert other.until_picture(pixels, 200)
        with Viewer.at(address) as again:
            assert again.until_picture(pixels, 200)


def test_a_viewer_who_takes_nothing_costs_no_frame_and_no_memory(
    backend: Backend, machine: Machine, address: Path
) -> None:
    resource, pixels = shown(machine, 1280, 800)
    with Viewer.at(address) as slow, Viewer.at(address) as other:
        assert other.until_picture(pixels, 1280)
        for _ in range(50):
            slow.request(incremental=False)  # and reads nothing
        before = resident(*views(backend))
        for _ in range(30):
            redraw(machine, resource)
        pixels = redraw(machine, resource)
        assert other.until_picture(pixels, 1280)
        assert resident(*views(backend)) < before + 24 * MiB


def resident(*processes: int) -> int:
    """Bytes."""
    lines = (Path(f"/proc/{one}/status").read_text().splitlines() for one in processes)
    return sum(int(line.split()[1]) for found in lines for line in found if "VmRSS" in line) * 1024


@pytest.mark.parametrize("size", [1, 100, 4096, 1 << 20])
def test_whoever_talks_nonsense_is_dropped(
    backend: Backend, machine: Machine, address: Path, size: int
) -> None:
    resource, pixels = shown(machine, 64, 64)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 64)
        viewer.end.settimeout(1)
        with suppress(OSError):
            viewer.end.sendall(random.Random(size).randbytes(size))
            viewer.end.shutdown(socket.SHUT_WR)
        assert viewer.is_dropped()
    assert wait_until(lambda: views(backend) == [], 5)
    pixels = redraw(machine, resource)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 64)


def test_whoever_says_nothing_is_dropped(machine: Machine, address: Path) -> None:
    """Otherwise it would have one of the few places for good."""
    shown(machine, 64, 64)
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(address))
        end.settimeout(20)
        assert end.recv(12).startswith(b"RFB ")
        end.sendall(b"RFB 003.008\n")
        received = b"?"
        while received:
            received = end.recv(4096)


def test_a_browser_is_not_let_in(machine: Machine, address: Path) -> None:
    """A web page could ask for any address of this computer."""
    shown(machine, 64, 64)
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(10)
        end.connect(str(address))
        end.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Origin: http://example.org\r\nSec-WebSocket-Protocol: binary\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        received = b""
        with suppress(ConnectionResetError):
            while part := end.recv(4096):
                received += part
    assert len(received) < 1024


def test_a_display_beside_it_shows_what_it_did(backend: Backend, address: Path) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
        with Viewer.at(address) as viewer:
            _, pixels = shown(machine, 128, 96)
            assert viewer.until_picture(pixels, 128)
            assert machine.display.wait_for_picture(0, pixels)


def test_guest_blobs_that_are_shown_in_turn_are_seen(backend: Backend, address: Path) -> None:
    frontend = {"wanted_features": GENERIC_FEATURES}
    with Machine(backend.socket_path, headless=True, frontend=frontend) as machine:
        guest = machine.guest
        blobs = [guest.create_blob(300, 200) for _ in range(2)]
        with Viewer.at(address) as viewer:
            for turn in range(4):
                blob = blobs[turn % 2]
                pixels = os.urandom(300 * 200 * 4)
                guest.draw(blob, blob.whole, pixels)
                guest.set_scanout(0, blob)
                guest.flush(blob)
                assert viewer.until_picture(pixels, 300)


@pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())
def test_what_opengl_draws_in_software_is_seen(address: Path) -> None:
    frontend = {"wanted_features": QEMU_FEATURES | Feature.VIRGL}
    with (
        daemon("--view", f"unix:{address}", "--gpu-mode", "virglrenderer") as backend,
        Machine(
            backend.socket_path, headless=True, frontend=frontend, guest={"control_size": 256}
        ) as machine,
    ):
        machine.guest.do(commands_3d.ctx_create(CTX))
        texture(machine, 5, BGRA)
        for color, pixel in (
            ((1.0, 0.0, 0.0, 1.0), b"\x00\x00\xff\xff"),
            ((0.0, 0.0, 1.0, 1.0), b"\xff\x00\x00\xff"),
        ):
            machine.guest.do(commands_3d.submit_3d(CTX, commands_3d.clear(5, BGRA, color)))
            draw_3d(machine, 5)
            with Viewer.at(address) as viewer:
                assert viewer.until_picture(pixel * (WIDTH * HEIGHT), WIDTH)


def test_what_the_next_device_process_draws_is_seen(
    backend: Backend, machine: Machine, address: Path
) -> None:
    resource, pixels = shown(machine, 128, 96)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 128)
        (process,) = devices(backend.process.pid)
        os.kill(process, signal.SIGKILL)
        pixels = redraw(machine, resource)
        assert viewer.until_picture(pixels, 128)


def test_the_cursor_is_the_viewers_own(machine: Machine, address: Path) -> None:
    _, pixels = shown(machine, 128, 96)
    pointer = machine.guest.create_2d(64, 64)
    picture = os.urandom(64 * 64 * 4)
    machine.guest.draw(pointer, pointer.whole, picture)
    machine.guest.transfer(pointer)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 128)
        machine.guest.update_cursor(pointer, 10, 20, hot_x=3, hot_y=5)
        assert viewer.until(lambda: viewer.cursor is not None and any(viewer.cursor.mask))
        seen = viewer.cursor
        assert seen is not None
        assert (seen.hot, seen.size) == ((3, 5), (64, 64))
        assert opaque(seen.pixels) == opaque(picture)
        assert seen.mask == mask_of(picture)
        # It is no part of the picture.
        assert viewer.area(0, 0, 128, 96) == opaque(pixels)
        # Whoever comes later has it too.
        with Viewer.at(address) as later:
            assert later.until(lambda: later.cursor is not None and any(later.cursor.mask))
        machine.guest.update_cursor(None, 0, 0)
        assert viewer.until(lambda: viewer.cursor is not None and not any(viewer.cursor.mask))


def test_a_viewer_without_cursors_sees_it_where_the_guest_has_it(
    machine: Machine, address: Path
) -> None:
    machine.guest.show(filled(machine, 128, 96, b"\x00\x00\x00\xff"))
    machine.guest.update_cursor(filled(machine, 64, 64, b"\x10\x80\xf0\xff"), 20, 30)
    dot = b"\x10\x80\xf0\xff"
    with Viewer.at(address, encodings=(RAW, DESKTOP_SIZE)) as viewer:
        assert viewer.until(lambda: viewer.size == (128, 96) and viewer.area(20, 30, 1, 1) == dot)
        assert viewer.area(19, 30, 1, 1) == viewer.area(20, 29, 1, 1) == b"\x00\x00\x00\xff"
        machine.guest.move_cursor(50, 30)
        assert viewer.until(lambda: viewer.area(50, 30, 1, 1) == dot)
        assert viewer.until(lambda: viewer.area(20, 30, 1, 1) == b"\x00\x00\x00\xff")


def filled(machine: Machine, width: int, height: int, pixel: bytes) -> Resource:
    resource = machine.guest.create_2d(width, height)
    machine.guest.fill(resource, pixel)
    machine.guest.transfer(resource)
    return resource


def mask_of(picture: bytes) -> bytes:
    bits = [alpha >= 0x80 for alpha in picture[3::4]]
    return bytes(
        sum(bit << (7 - index) for index, bit in enumerate(bits[start : start + 8]))
        for start in range(0, len(bits), 8)
    )


def test_pixels_are_offered_as_most_viewers_want_them(machine: Machine, address: Path) -> None:
    """Each would be converted otherwise, for every frame."""
    shown(machine, 64, 64)
    with Viewer.at(address) as viewer:
        assert viewer.offered == BGRX


def test_a_machine_s_socket_has_its_name(backend: Backend, address: Path) -> None:
    assert wait_until(backend.socket_path.exists)
    with vmm(backend.socket_path, "web/1"):
        assert wait_until(address.with_name(r"view.web\x2f1").exists, 5)
        assert not address.with_name("view.1").exists()
    assert wait_until(lambda: not address.with_name(r"view.web\x2f1").exists(), 5)


def test_each_machine_has_a_socket(backend: Backend, machine: Machine, address: Path) -> None:
    _, first = shown(machine, 64, 64)
    with Viewer.at(address.with_name("view.1")) as viewer:
        assert viewer.until_picture(first, 64)
    with Machine(backend.socket_path, headless=True) as other:
        _, second = shown(other, 80, 80)
        with Viewer.at(address.with_name("view.2")) as viewer:
            assert viewer.until_picture(second, 80)
        # Which of both?
        with pytest.raises(ConnectionResetError):
            Viewer.at(address)
        assert wait_until(lambda: "2 machines are served" in backend.log, 5)
    assert wait_until(lambda: not address.with_name("view.2").exists(), 5)


def test_a_port_is_the_only_machines() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        daemon("--view", f"localhost:{port}") as backend,
        Machine(backend.socket_path, headless=True) as machine,
    ):
        _, pixels = shown(machine, 64, 64)
        with Viewer(socket.create_connection(("127.0.0.1", port))) as viewer:
            assert viewer.until_picture(pixels, 64)


def test_a_socket_is_for_those_who_may_ask(backend: Backend, address: Path) -> None:
    assert wait_until(address.exists, 5)
    assert address.stat().st_mode & 0o777 == 0o660


def test_viewers_see_on_when_the_daemon_dies(
    backend: Backend, machine: Machine, address: Path
) -> None:
    resource, pixels = shown(machine, 64, 64)
    with Viewer.at(address) as viewer:
        assert viewer.until_picture(pixels, 64)
        (process,) = views(backend)
        backend.process.kill()
        backend.process.wait()
        pixels = redraw(machine, resource)
        assert viewer.until_picture(pixels, 64)
    assert wait_until(lambda: not is_running(process), 5)


def test_they_go_when_the_machine_does(backend: Backend, address: Path) -> None:
    with Machine(backend.socket_path, headless=True) as machine:
        _, pixels = shown(machine, 64, 64)
        viewer = Viewer.at(address)
        assert viewer.until_picture(pixels, 64)
    with viewer:
        assert viewer.is_dropped()
    assert wait_until(lambda: views(backend) == [], 5)
