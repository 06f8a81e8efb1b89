# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a viewer presses and points at reaches the VMM by its QMP, where there is one, and nothing else does."""

import random
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from vgpud.errors import EXIT_CONFIGURATION

from ..driver.backend import Backend, Machine
from ..driver.qmp import QmpServer
from ..driver.rfb import Viewer
from ..driver.xkb import XkbGuest, available
from .running import daemon, wait_until

pytest.importorskip("vgpud._view", reason="it is built where libvncserver's headers are")

SHIFT, CONTROL, RETURN = 0xFFE1, 0xFFE3, 0xFF0D
MOST = 32767


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "view"


@pytest.fixture
def qmp(tmp_path: Path) -> Iterator[QmpServer]:
    server = QmpServer(tmp_path / "qmp")
    yield server
    server.close()


@pytest.fixture
def backend(address: Path, tmp_path: Path) -> Iterator[Backend]:
    with daemon("--view", f"unix:{address}", "--view-qmp", str(tmp_path / "qmp")) as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    with Machine(backend.socket_path, headless=True) as machine:
        resource = machine.guest.create_2d(200, 100)
        machine.guest.show(resource)
        yield machine


def look(viewer: Viewer) -> None:
    assert viewer.until(lambda: viewer.size == (200, 100))


def test_keys_are_pressed(qmp: QmpServer, machine: Machine, address: Path) -> None:
    with Viewer.at(address) as viewer:
        assert viewer.name == "vgpud"
        for keysym in (ord("l"), ord("s"), RETURN):
            viewer.key(keysym, True)
            viewer.key(keysym, False)
        expected = [(code, down) for code in ("l", "s", "ret") for down in (True, False)]
        assert wait_until(lambda: qmp.keys == expected, 5)


@pytest.mark.skipif(not available(), reason="there is no libxkbcommon with layouts")
def test_keys_are_those_of_the_guest_s_layout(
    qmp: QmpServer, address: Path, tmp_path: Path
) -> None:
    options = ("--view-qmp", str(tmp_path / "qmp"), "--view-layout", "de")
    with (
        daemon("--view", f"unix:{address}", *options) as backend,
        Machine(backend.socket_path, headless=True) as machine,
    ):
        machine.guest.show(machine.guest.create_2d(200, 100))
        with Viewer.at(address) as viewer:
            for keysym in map(ord, "yé@"):
                viewer.key(keysym, True)
                viewer.key(keysym, False)
            guest, down = XkbGuest("de"), ["z", "equal", "e", "alt_r", "q"]
            assert wait_until(lambda: [code for code, held in qmp.keys if held] == down, 5)
            assert wait_until(lambda: len(qmp.keys) == 2 * len(down), 5)
            guest.take(qmp.keys)
            assert guest.typed == "yé@"


def test_a_layout_that_there_is_not_is_refused_at_the_start(tmp_path: Path) -> None:
    options = ("--view", f"unix:{tmp_path}/view", "--view-qmp", "/qmp", "--view-layout", "nowhere")
    with daemon(*options) as backend:
        assert backend.process.wait(20) == EXIT_CONFIGURATION
        assert "view.layout: there is no" in backend.log


def test_the_pointer_is_put_where_it_is(qmp: QmpServer, machine: Machine, address: Path) -> None:
    with Viewer.at(address) as viewer:
        look(viewer)
        viewer.pointer(199, 99)
        assert wait_until(lambda: qmp.place() == (MOST, MOST), 5)
        viewer.pointer(0, 0, buttons=1)
        viewer.pointer(0, 0, buttons=1 | 4)
        viewer.pointer(0, 0, buttons=0)
        pressed = [("left", True), ("right", True), ("left", False), ("right", False)]
        assert wait_until(lambda: qmp.buttons == pressed, 5)
        assert qmp.place() == (0, 0)
        viewer.pointer(0, 0, buttons=8)
        viewer.pointer(0, 0)
        assert wait_until(lambda: qmp.buttons[4:] == [("wheel-up", True), ("wheel-up", False)], 5)


def test_what_a_viewer_holds_is_let_go_of_when_he_goes(
    qmp: QmpServer, machine: Machine, address: Path
) -> None:
    with Viewer.at(address) as viewer:
        viewer.key(CONTROL, True)
        viewer.pointer(1, 1, buttons=1)
        assert wait_until(
            lambda: (qmp.keys, qmp.buttons) == ([("ctrl", True)], [("left", True)]), 5
        )
    assert wait_until(lambda: qmp.keys == [("ctrl", True), ("ctrl", False)], 5)
    assert wait_until(lambda: qmp.buttons == [("left", True), ("left", False)], 5)


def test_qmp_is_held_while_somebody_looks(qmp: QmpServer, machine: Machine, address: Path) -> None:
    for round_ in range(2):
        before = len(qmp.keys)
        with Viewer.at(address) as first, Viewer.at(address) as second:
            for viewer in (first, second):
                viewer.key(ord("a"), True)
                viewer.key(ord("a"), False)
            assert wait_until(partial(has_more, qmp, before + 4), 5)
        # It serves one connection at a time: it is let go of for whoever else wants it.
        assert wait_until(lambda: not qmp.connected, 5)
        assert qmp.connections == round_ + 1


def has_more(qmp: QmpServer, count: int) -> bool:
    return len(qmp.keys) == count


def test_nothing_else_is_said(qmp: QmpServer, machine: Machine, address: Path) -> None:
    with Viewer.at(address) as viewer:
        look(viewer)
        source = random.Random(5)
        for _ in range(300):
            viewer.key(source.choice([source.getrandbits(32), source.randrange(0x20, 0x7F)]), True)
            viewer.pointer(source.getrandbits(16), source.getrandbits(16), source.getrandbits(8))
        with suppress(OSError):
            viewer.end.sendall(source.randbytes(4096))
    assert wait_until(lambda: len(qmp.commands) > 20, 5)
    assert set(qmp.commands) == {"qmp_capabilities", "input-send-event"}
    assert all(0 <= place <= MOST for place in qmp.place())


def test_a_guest_without_a_pointer_is_named_and_keys_go_on(
    qmp: QmpServer, machine: Machine, address: Path, backend: Backend
) -> None:
    qmp.refuse = "Input handler not found for event type abs"
    with Viewer.at(address) as viewer:
        look(viewer)
        viewer.pointer(5, 5)
        assert wait_until(lambda: "Input handler not found for event type abs" in backend.log, 5)
        qmp.refuse = None
        viewer.key(ord("x"), True)
        assert wait_until(lambda: qmp.keys == [("x", True)], 5)


def test_without_qmp_nothing_is_pressed_and_the_viewer_is_told(tmp_path: Path) -> None:
    address = tmp_path / "view"
    with (
        daemon("--view", f"unix:{address}") as backend,
        Machine(backend.socket_path, headless=True) as machine,
    ):
        machine.guest.show(machine.guest.create_2d(200, 100))
        with Viewer.at(address) as viewer:
            assert viewer.name == "vgpud (view only)"
            viewer.key(ord("a"), True)
            viewer.pointer(1, 1)
            look(viewer)


def test_a_vmm_whose_qmp_is_not_there_is_seen_all_the_same(
    machine: Machine, address: Path, backend: Backend
) -> None:
    with Viewer.at(address) as viewer:
        assert viewer.name == "vgpud (view only)"
        look(viewer)
    assert "viewers can press no keys" in backend.log


def test_a_vmm_that_hangs_up_its_qmp_is_asked_again_by_the_next(
    qmp: QmpServer, machine: Machine, address: Path, tmp_path: Path, backend: Backend
) -> None:
    with Viewer.at(address) as viewer:
        viewer.key(ord("a"), True)
        assert wait_until(lambda: qmp.keys == [("a", True)], 5)
        qmp.hang_up()
        viewer.key(ord("b"), True)
        assert wait_until(lambda: "does not take a viewer's keys" in backend.log, 5)
        look(viewer)
        with Viewer.at(address) as other:
            other.key(ord("c"), True)
            assert wait_until(lambda: ("c", True) in qmp.keys, 5)
