# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine seen and typed into in a browser: noVNC in Chromium, by websockify, as docs/viewer.md shows it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..daemon.running import daemon
from ..driver.backend import Machine
from ..driver.qmp import QmpServer
from .picture import Picture
from .process import Process, wait_until
from .viewer import HANDS
from .x_server import XServer, wait_for_part

NOVNC = Path("/usr/share/novnc")
BROWSER, BETWEEN = "chromium", "websockify"
PROGRAMS = (BROWSER, BETWEEN, HANDS, "Xvfb")
# A browser that has never been started makes itself at home first.
START_SECONDS = 60


def missing() -> str:
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return ", ".join(lacking + ([] if (NOVNC / "vnc_lite.html").exists() else ["novnc"]))


pytest.importorskip("vgpud._view", reason="it is built where libvncserver's headers are")
pytestmark = [
    pytest.mark.usefixtures("only_vgpud"),
    pytest.mark.skipif(bool(missing()), reason=f"there is no {missing()} (contrib/setup/browser)"),
]

WIDTH, HEIGHT, SQUARE = 640, 400, 20


def drawing() -> bytes:
    """Squares of few colours, which noVNC is sent as they are: what has many it wants as JPEG."""
    colours = [bytes((40 * n, 255 - 30 * n, 17 * n, 255)) for n in range(7)]
    rows = [
        b"".join(
            colours[(x * x + x * y + 3 * y) % len(colours)] * SQUARE for x in range(WIDTH // SQUARE)
        )
        for y in range(HEIGHT // SQUARE)
    ]
    return b"".join(row * SQUARE for row in rows)


@pytest.fixture
def owned() -> Iterator[ExitStack]:
    with ExitStack() as owned:
        yield owned


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(owned: ExitStack, name: str, *arguments: str, display: str = "") -> Process:
    process = Process(name, [name, *arguments], environment={"DISPLAY": display})
    owned.callback(process.kill)
    return process


def test_a_browser_shows_a_machine_and_types_into_it(owned: ExitStack, tmp_path: Path) -> None:
    view, qmp_path, port = tmp_path / "view", tmp_path / "qmp", free_port()
    x_server = XServer(tmp_path)
    owned.callback(x_server.close)
    qmp = QmpServer(qmp_path)
    owned.callback(qmp.close)
    backend = owned.enter_context(daemon("--view", f"unix:{view}", "--view-qmp", str(qmp_path)))
    machine = owned.enter_context(Machine(backend.socket_path, headless=True))
    resource = machine.guest.create_2d(WIDTH, HEIGHT)
    machine.guest.draw(resource, resource.whole, drawing())
    machine.guest.show(resource)
    between = start(owned, BETWEEN, f"--web={NOVNC}", f"--unix-target={view}", f"127.0.0.1:{port}")
    wait_until(lambda: answers(port), "websockify")
    start(
        owned,
        BROWSER,
        *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
        *(f"--user-data-dir={tmp_path}/profile", "--window-size=900,700", "--window-position=0,0"),
        f"--app=http://127.0.0.1:{port}/vnc_lite.html",
        display=x_server.display,
    )
    picture = Picture.from_xrgb(WIDTH, HEIGHT, WIDTH * 4, drawing())
    assert wait_for_part(x_server, picture, START_SECONDS), between.log.text()
    hands(x_server, "mousemove", "300", "300", "click", "1")
    wait_until(lambda: qmp.buttons == [("left", True), ("left", False)], "the button")
    hands(x_server, "type", "--delay", "50", "Hi {x}")
    typed = ["h", "i", "spc", "bracket_left", "x", "bracket_right"]
    wait_until(lambda: [key for key, down in qmp.keys if down and key != "shift"] == typed, "keys")


def hands(x_server: XServer, *arguments: str) -> None:
    environment = os.environ | {"DISPLAY": x_server.display}
    subprocess.run([HANDS, *arguments], env=environment, check=True, timeout=60)
