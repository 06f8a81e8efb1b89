# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Displays that are plugged in, resized and unplugged while a machine without a display socket
runs.
"""

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.frontend import QEMU_PROTOCOL, Protocol
from .running import daemon

CONFIG_CHANGE_MSG = 2
EVENT_DISPLAY = (1).to_bytes(4, "little")
CONFIGURATION = """
[[displays]]
width = 800
height = 600
[[displays]]
width = 640
height = 480
connected = false
"""


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    file = tmp_path / "vgpud.toml"
    file.write_text(CONFIGURATION)
    with daemon("--config", str(file)) as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    with Machine(backend.socket_path, headless=True) as machine:
        yield machine


def set_display(backend: Backend, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "vgpud.ctl", "--socket-path", str(backend.socket_path)]
    return subprocess.Popen(
        [*command, "displays", "set", *arguments], stderr=subprocess.PIPE, text=True
    )


def outcome(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, errors = process.communicate(timeout=20)
    return process.returncode, errors


def displays(machine: Machine) -> list[tuple[int, ...]]:
    """x, y, width, height, enabled of the first three."""
    info = machine.guest.display_info()
    return [struct.unpack_from("<5I", info.data, 24 * index) for index in range(3)]


def test_a_display_that_is_resized_is_announced_and_told(
    backend: Backend, machine: Machine
) -> None:
    assert displays(machine) == [(0, 0, 800, 600, 1), (0,) * 5, (0,) * 5]
    before = machine.guest.do(commands.get_edid(0), commands.EDID_SIZE).data
    setting = set_display(backend, "1920x1080")
    request = machine.frontend.backend_request()
    assert (request.request, request.payload) == (CONFIG_CHANGE_MSG, b"")
    # A VMM reads this before it answers, or the guest does.
    assert machine.frontend.get_config(4, 0) == EVENT_DISPLAY
    machine.frontend.answer_backend(request)
    assert outcome(setting) == (0, "")
    assert displays(machine)[0] == (0, 0, 1920, 1080, 1)
    assert machine.guest.do(commands.get_edid(0), commands.EDID_SIZE).data != before
    # The driver clears the event, and QEMU gives all fields.
    machine.frontend.set_config(bytes(4) + EVENT_DISPLAY + bytes(12))
    assert machine.frontend.get_config(4, 0) == bytes(4)


def test_a_display_is_plugged_in_and_unplugged(backend: Backend, machine: Machine) -> None:
    for size, expected in (("1024x768", (800, 0, 1024, 768, 1)), ("off", (0,) * 5)):
        setting = set_display(backend, "--scanout", "1", size)
        machine.frontend.answer_backend(machine.frontend.backend_request())
        assert outcome(setting) == (0, "")
        assert displays(machine)[1] == expected


def test_a_frontend_that_refuses_the_news_is_a_warning_that_says_so(
    backend: Backend, machine: Machine
) -> None:
    setting = set_display(backend, "320x200")
    machine.frontend.answer_backend(machine.frontend.backend_request(), 1)
    status, errors = outcome(setting)
    assert status == 0
    assert "only when it starts next" in errors
    assert displays(machine)[0] == (0, 0, 320, 200, 1)


def test_a_frontend_that_goes_while_it_is_asked_is_an_error(backend: Backend) -> None:
    with Machine(backend.socket_path, headless=True) as machine:
        setting = set_display(backend, "320x200")
        machine.frontend.backend_request()
    assert outcome(setting)[0] == 1
    assert backend.process.poll() is None


@pytest.mark.parametrize("missing", [Protocol.BACKEND_REQ, Protocol.CONFIG])
def test_a_frontend_without_a_way_to_be_told_is_a_warning(
    backend: Backend, missing: Protocol
) -> None:
    with Machine(
        backend.socket_path, headless=True, frontend={"wanted_protocol": QEMU_PROTOCOL & ~missing}
    ):
        status, errors = outcome(set_display(backend, "320x200"))
        assert status == 0
        assert "does not announce it" in errors


def test_without_acknowledgements_none_is_waited_for(backend: Backend) -> None:
    wanted = {"wanted_protocol": QEMU_PROTOCOL & ~Protocol.REPLY_ACK}
    with Machine(backend.socket_path, headless=True, frontend=wanted) as machine:
        assert outcome(set_display(backend, "320x200")) == (0, "")
        assert machine.frontend.backend_request().flags == 1


def test_displays_that_the_frontend_decides_stay_as_they_are(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        before = displays(machine)
        status, errors = outcome(set_display(backend, "320x200"))
        assert status == 1
        assert "the front-end decides" in errors
        assert displays(machine) == before


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--scanout", "2", "320x200"), "no output 2"),
        (("--scanout", "-1", "320x200"), "no output -1"),
        (("0x200",), "1 to 16384 pixels"),
        (("320x16385",), "1 to 16384 pixels"),
        (("--machine", "nobody", "320x200"), "no machine nobody"),
    ],
)
def test_what_cannot_be_is_an_error_and_changes_nothing(
    backend: Backend, machine: Machine, arguments: tuple[str, ...], why: str
) -> None:
    status, errors = outcome(set_display(backend, *arguments))
    assert status == 1
    assert why in errors
    assert displays(machine)[0] == (0, 0, 800, 600, 1)
    assert machine.frontend.get_config(4, 0) == bytes(4)


def test_a_reset_forgets_what_was_to_be_told(backend: Backend, machine: Machine) -> None:
    setting = set_display(backend, "320x200")
    machine.frontend.answer_backend(machine.frontend.backend_request())
    assert outcome(setting) == (0, "")
    machine.frontend.stop()
    machine.frontend.reset()
    assert machine.frontend.get_config(4, 0) == bytes(4)
