# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""TigerVNC's viewer in front of a keyboard of one layout, and what it types into a guest whose keyboard has another."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..daemon.running import daemon
from ..driver.backend import Machine
from ..driver.qmp import QmpServer
from ..driver.xkb import XkbGuest, available
from . import viewer
from .process import wait_until
from .viewer import Viewer, set_layout
from .x_server import XServer

pytest.importorskip("vgpud._view", reason="it is built where libvncserver's headers are")
pytestmark = [
    pytest.mark.usefixtures("only_vgpud"),
    pytest.mark.skipif(bool(viewer.missing()), reason=f"there is no {viewer.missing()}"),
    pytest.mark.skipif(not available(), reason="there is no libxkbcommon with layouts"),
]

ASCII = "".join(map(chr, range(0x20, 0x7F)))


@pytest.fixture(scope="module")
def x_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XServer]:
    server = XServer(tmp_path_factory.mktemp("x"))
    yield server
    server.close()


@contextmanager
def looking(x_server: XServer, layout: str, folder: Path) -> Iterator[tuple[Viewer, QmpServer]]:
    """At a machine whose guest's keyboard has that layout."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    qmp = QmpServer(folder / "qmp")
    options = (f"--view=127.0.0.1:{port}", f"--view-qmp={folder}/qmp", f"--view-layout={layout}")
    try:
        with daemon(*options) as backend, Machine(backend.socket_path, headless=True) as machine:
            machine.guest.show(machine.guest.create_2d(320, 200))
            window = Viewer(x_server, f"127.0.0.1::{port}")
            try:
                window.take_keyboard()
                yield window, qmp
            finally:
                window.close()
    finally:
        qmp.close()


@pytest.mark.parametrize(
    ("of_viewer", "of_guest", "text"),
    [
        ("de", "de", f"{ASCII} Grüße, 3 €"),
        ("fr", "fr", f"{ASCII} 3 €, ça été noël"),
        ("us", "fr", ASCII),
        ("fr", "de", ASCII),
        ("de", "us", ASCII),
    ],
    ids=["de-de", "fr-fr", "us-fr", "fr-de", "de-us"],
)
def test_what_is_typed_comes_out(
    x_server: XServer, tmp_path: Path, of_viewer: str, of_guest: str, text: str
) -> None:
    set_layout(x_server, of_viewer)
    with looking(x_server, of_guest, tmp_path) as (window, qmp):
        guest = XkbGuest(of_guest)
        window.type(text)
        taken = 0

        def typed() -> bool:
            nonlocal taken
            told = qmp.keys
            guest.take(told[taken:])
            taken = len(told)
            return len(guest.typed) >= len(text) and not guest.down

        wait_until(typed, f"{text!r}, and not {guest.typed!r}", 30)
        assert guest.typed == text
