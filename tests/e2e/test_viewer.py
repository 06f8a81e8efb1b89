# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest that nobody shows, seen and typed into with real viewers: TigerVNC's under Xvfb, and GTK-VNC's.  The guest's keyboard is German,
and so is the viewer's.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..driver import xkb
from . import viewer
from .conftest import Workshop
from .german import use_german_keyboard
from .machine import Machine, MachineOptions
from .picture import Picture
from .process import wait_until
from .screens import (
    assert_console_is_readable,
    connectors,
    console_text,
    modetest_arguments,
    shown,
    write_text,
)
from .shell import GuestShell
from .viewer import Viewer, captured, set_layout
from .x_server import XServer, wait_for_part

pytestmark = [
    pytest.mark.usefixtures("only_vgpud"),
    pytest.mark.skipif(bool(viewer.missing()), reason=f"there is no {viewer.missing()}"),
    pytest.mark.skipif(not xkb.available(), reason="there is no libxkbcommon with layouts"),
]

# <linux/input-event-codes.h>
EV_KEY, EV_ABS, BTN_LEFT, ABS_X, ABS_Y = 1, 3, 0x110, 0, 1
EVENT = struct.Struct("<16xHHi")
ANSWER = "[zyZY] {@} ~|\\ ^, Grüße! 6*7: 42"
PLACES = 32768


class Seen:
    """The machine's screen as another viewer is shown it."""

    def __init__(self, machine: Machine, address: str, folder: Path) -> None:
        self.name = machine.name
        self.guest: GuestShell = machine.guest
        self._machine = machine
        self._address = address
        self._file = folder / "captured.png"

    def screendump(self, head: int = 0) -> Picture:
        return captured(self._address, self._file)

    def keep(self, picture: Picture, what: str) -> None:
        self._machine.keep(picture, what)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("viewer")


@pytest.fixture(scope="module")
def x_server(folder: Path) -> Iterator[XServer]:
    server = XServer(folder)
    set_layout(server, "de")
    yield server
    server.close()


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
        return found


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop, folder: Path, port: int) -> Machine:
    qmp = folder / "qmp"
    view = (f"--view=127.0.0.1:{port}", f"--view-qmp={qmp}", "--view-layout=de(nodeadkeys)")
    daemon = shared_workshop.daemon(["--headless", *view])
    options = MachineOptions(
        arguments=[
            *("-chardev", f"socket,id=keys,path={qmp},server=on,wait=off"),
            *("-mon", "chardev=keys,mode=control"),
        ]
    )
    return shared_workshop.ready_machine(daemon, options)


@pytest.fixture(scope="module")
def seen(machine: Machine, port: int, folder: Path) -> Seen:
    # A display's number is that of its port from 5900 on.
    return Seen(machine, f"127.0.0.1:{port - 5900}", folder)


@pytest.fixture(scope="module")
def window(machine: Machine, x_server: XServer, port: int) -> Iterator[Viewer]:
    window = Viewer(x_server, f"127.0.0.1::{port}")
    yield window
    window.close()


def test_the_console_is_read_off_the_screen(seen: Seen, window: Viewer, x_server: XServer) -> None:
    write_text(seen, "in a viewer")
    picture = assert_console_is_readable(seen)
    found = wait_for_part(x_server, picture)
    seen.keep(x_server.picture(), "window")
    assert found


def test_a_command_is_typed_and_its_answer_read_off_the_screen(
    seen: Seen, window: Viewer, x_server: XServer
) -> None:
    use_german_keyboard(seen.guest)
    seen.guest.run("setsid sh -c 'exec sh </dev/tty1 >/dev/tty1 2>&1' &")
    write_text(seen, "what is typed comes below")
    window.take_keyboard()
    # Of each kind of key: on another place than on a US keyboard, with AltGr, with neither.
    window.type('echo "[zyZY] {@} ~|\\ ^, Grüße! 6*7: $((6*7))" | tee /tmp/answer')
    window.press("Return")
    wait_until(lambda: answer(seen) == ANSWER, "the command")
    picture = assert_console_is_readable(seen)
    assert ANSWER in [row.rstrip() for row in console_text(seen)]
    found = wait_for_part(x_server, picture)
    seen.keep(x_server.picture(), "typed")
    assert found


def answer(seen: Seen) -> str:
    return seen.guest.run("cat /tmp/answer", check=False)


def test_the_pointer_is_where_it_is_put(seen: Seen, window: Viewer) -> None:
    device = seen.guest.run(
        "grep -A5 'Virtio Tablet' /proc/bus/input/devices | sed -n 's/.*\\(event[0-9]*\\).*/\\1/p'"
    )
    seen.guest.run(f"cat /dev/input/{device} >/tmp/events &")
    width, height = seen.screendump().width, seen.screendump().height
    window.point(width // 2, height // 2)
    window.point(width // 4, height // 2)
    window.press_button(1)
    wait_until(lambda: (EV_KEY, BTN_LEFT, 0) in events(seen), "the button")
    told = events(seen)
    assert (EV_KEY, BTN_LEFT, 1) in told
    x = [value for kind, code, value in told if (kind, code) == (EV_ABS, ABS_X)][-1]
    y = [value for kind, code, value in told if (kind, code) == (EV_ABS, ABS_Y)][-1]
    # The window has a frame.
    assert x / PLACES == pytest.approx(1 / 4, abs=0.02)
    assert y / PLACES == pytest.approx(1 / 2, abs=0.05)


def events(seen: Seen) -> list[tuple[int, int, int]]:
    data = bytes.fromhex(seen.guest.run("xxd -p /tmp/events", check=False).replace("\n", ""))
    whole = len(data) // EVENT.size * EVENT.size
    return [EVENT.unpack_from(data, start) for start in range(0, whole, EVENT.size)]


def test_a_drawing_is_seen(seen: Seen, machine: Machine, window: Viewer, x_server: XServer) -> None:
    (connector,) = connectors(machine)
    with shown(machine, modetest_arguments({connector: (1280, 800)}, "smpte")):
        wait_until(lambda: len(seen.screendump().colours()) > 5, "the pattern")
        picture = seen.screendump()
        found = wait_for_part(x_server, picture)
        seen.keep(x_server.picture(), "drawing")
        assert found
