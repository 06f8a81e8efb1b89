# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guest blobs through the whole daemon: the same screen as without, whatever dies."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.frontend import GENERIC_FEATURES, QEMU_FEATURES, Feature
from ..driver.gpu import Blob
from ..driver.memory import PAGE
from .running import daemon, devices, machine_status, wait_until

WIDTH, HEIGHT = 640, 400
GENERIC: dict[str, Any] = {"wanted_features": GENERIC_FEATURES}


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    configuration = tmp_path / "vgpud.toml"
    configuration.write_text("[device_process]\nrestarts = 1000\nrestart_delay = 0.0\n")
    with daemon("--config", str(configuration)) as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    with Machine(backend.socket_path, frontend=GENERIC) as made:
        yield made


def draw(machine: Machine, blob: Blob, seed: int) -> bytes:
    pixels = random.Random(seed).randbytes(blob.width * blob.height * 4)
    machine.guest.draw(blob, blob.whole, pixels)
    return pixels


def kill_device(backend: Backend) -> None:
    [process_id] = devices(backend.process.pid)
    os.kill(process_id, signal.SIGKILL)
    assert wait_until(lambda: devices(backend.process.pid) not in ([], [process_id]))


def test_a_blob_is_shown_as_linux_shows_its_framebuffers(machine: Machine) -> None:
    guest = machine.guest
    assert Feature.RESOURCE_BLOB in machine.frontend.features
    blobs = [guest.create_blob(WIDTH, HEIGHT) for _ in range(2)]
    for turn in range(6):
        blob = blobs[turn % 2]
        pixels = draw(machine, blob, turn)
        guest.transfer(blob)
        guest.set_scanout(0, blob)
        guest.flush(blob, fence_id=turn + 1)
        assert machine.display.wait_for_picture(0, pixels)
    # A damage of a few pixels.
    part = Rectangle(100, 50, 20, 10)
    guest.draw(blob, part, b"\1\2\3\4" * 200)
    guest.flush(blob, part)
    wanted = b"\1\2\3\4" * 200

    def shown() -> bool:
        rows = machine.display.pictures[0].rows(100, 50, 20, 10)
        return all(rows[plane::4] == wanted[plane::4] for plane in range(3))

    assert machine.display.wait_for(shown)
    assert machine.display.violations == []


def test_a_new_display_shows_what_is_in_the_blob(machine: Machine) -> None:
    blob = machine.guest.create_blob(WIDTH, HEIGHT)
    machine.guest.set_scanout(0, blob)
    pixels = draw(machine, blob, 1)
    machine.guest.flush(blob)
    assert machine.display.wait_for_picture(0, pixels)
    machine.stop()
    machine.cont()
    assert machine.display.wait_for_picture(0, pixels)


def test_a_blob_comes_back_when_the_device_process_has_died(
    backend: Backend, machine: Machine
) -> None:
    guest = machine.guest
    blob = guest.create_blob(WIDTH, HEIGHT, stride=WIDTH * 4 + 64, offset=128)
    pixels = draw(machine, blob, 1)
    guest.show(blob)
    uuid = guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
    assert machine.display.wait_for_picture(0, pixels)
    for turn in range(3):
        # What it shows is shown again without a word of the guest's.
        pixels = draw(machine, blob, turn + 2)
        kill_device(backend)
        assert machine.display.wait_for_picture(0, pixels)
        pixels = draw(machine, blob, turn + 20)
        guest.flush(blob)
        assert machine.display.wait_for_picture(0, pixels)
    again = guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
    assert again == uuid
    guest.detach(blob)
    kill_device(backend)
    assert guest.ask(commands.resource_flush(1, blob.whole)).type == ResponseType.ERR_UNSPEC
    guest.attach(blob)
    pixels = draw(machine, blob, 50)
    guest.flush(blob)
    assert machine.display.wait_for_picture(0, pixels)
    guest.unref(blob)
    assert machine.display.violations == []


def test_a_cursor_may_be_a_blob(backend: Backend, machine: Machine) -> None:
    guest = machine.guest

    def shows(pixels: bytes) -> bool:
        cursors = machine.display.cursors
        return machine.display.wait_for(lambda: 0 in cursors and cursors[0].pixels == pixels)

    blob = guest.create_blob(64, 64, Format.B8G8R8A8_UNORM)
    for turn in range(2):
        pixels = draw(machine, blob, turn)
        # Without another word about it: it may have been made a moment ago.
        guest.update_cursor(blob, 5, 6)
        assert shows(pixels)
        kill_device(backend)
    # Nothing is there to be shown, or too little: the picture stays.
    small = guest.create_blob(8, 8)
    guest.detach(blob)
    for nothing in (blob, small):
        guest.update_cursor(nothing, 7, 8)
        guest.move_cursor(9, 9)
    assert shows(pixels)
    guest.attach(blob)
    pixels = draw(machine, blob, 7)
    guest.update_cursor(blob, 5, 6)
    assert shows(pixels)


def test_a_screenshot_is_what_is_in_the_blob(
    backend: Backend, machine: Machine, tmp_path: Path
) -> None:
    blob = machine.guest.create_blob(WIDTH, HEIGHT, Format.R8G8B8X8_UNORM, offset=PAGE - 8)
    pixels = draw(machine, blob, 1)
    machine.guest.set_scanout(2, blob, Rectangle(30, 20, 100, 80))
    file = tmp_path / "screen.png"
    command = [sys.executable, "-m", "vgpud.ctl", "--socket-path", str(backend.socket_path)]
    subprocess.run([*command, "screenshot", "--scanout", "2", str(file)], check=True, timeout=20)
    rows = [((20 + row) * WIDTH + 30) * 4 for row in range(80)]
    expected = b"".join(
        pixels[start : start + 400][at : at + 3] for start in rows for at in range(0, 400, 4)
    )
    with Image.open(file) as image:
        assert (image.size, image.convert("RGB").tobytes()) == ((100, 80), expected)
    machine.guest.detach(blob)
    nothing = subprocess.run(
        [*command, "screenshot", "--scanout", "2", str(file)],
        check=False,
        timeout=20,
        capture_output=True,
        text=True,
    )
    assert nothing.returncode == 1
    assert "shows nothing" in nothing.stderr


def test_status_names_blobs_and_what_they_cost(backend: Backend, machine: Machine) -> None:
    blob = machine.guest.create_blob(WIDTH, HEIGHT)
    report = machine_status(backend.socket_path)
    assert [(one["kind"], one["bytes"]) for one in report["resources"]] == [("blob", 0)]
    assert report["limits"]["image_memory"]["used"] == 0
    assert report["limits"]["backing_entries"]["used"] == len(blob.entries)
    machine.guest.show(blob)
    report = machine_status(backend.socket_path)
    # Four pictures of what is shown, however many blobs are shown in turn.
    used = report["limits"]["image_memory"]["used"]
    assert 4 * WIDTH * HEIGHT * 4 <= used < 4 * WIDTH * HEIGHT * 4 + 8 * PAGE


def test_a_vmm_that_keeps_the_feature_from_its_guest_has_no_blobs(backend: Backend) -> None:
    with Machine(backend.socket_path, frontend={"wanted_features": QEMU_FEATURES}) as machine:
        guest = machine.guest
        assert Feature.RESOURCE_BLOB not in machine.frontend.features
        request = commands.resource_create_blob(
            1, PAGE, [(guest.memory.allocate(PAGE, PAGE), PAGE)]
        )
        assert guest.ask(request).type == ResponseType.ERR_UNSPEC
        # Also not after another device process has come.
        kill_device(backend)
        assert guest.ask(request).type == ResponseType.ERR_UNSPEC
        guest.show(guest.create_2d(8, 8))


def test_a_reboot_forgets_blobs(machine: Machine) -> None:
    first = machine.guest.create_blob(WIDTH, HEIGHT)
    machine.guest.show(first)
    machine.reboot()
    assert machine.guest.ask(commands.resource_unref(1)).type == (
        ResponseType.ERR_INVALID_RESOURCE_ID
    )
    second = machine.guest.create_blob(WIDTH, HEIGHT)
    pixels = draw(machine, second, 9)
    machine.guest.show(second)
    assert machine.display.wait_for_picture(0, pixels)
