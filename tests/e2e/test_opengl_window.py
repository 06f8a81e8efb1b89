# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine with OpenGL in QEMU's own window, on a host without a GPU: QEMU 11.1 and Mesa 26 under Xvfb."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import disk, opengl, parts
from .conftest import Workshop
from .held import nearest
from .machine import Machine, MachineOptions
from .screens import assert_console_is_readable, write_text
from .x_server import XServer, wait_for_part

pytestmark = pytest.mark.skipif(bool(opengl.unavailable()), reason=opengl.unavailable())


@pytest.fixture(scope="module")
def x_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XServer]:
    server = XServer(tmp_path_factory.mktemp("x"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop, x_server: XServer) -> Machine:
    options = MachineOptions(
        qemu=parts.newest_qemu(),
        display="gtk,gl=on,zoom-to-fit=off,show-menubar=off",
        environment={"DISPLAY": x_server.display, "GDK_BACKEND": "x11"},
    )
    daemon = shared_workshop.daemon(["--gpu-mode", "virglrenderer"])
    return shared_workshop.ready_machine(daemon, disk.options(options))


def test_the_console_is_in_the_window(machine: Machine, x_server: XServer) -> None:
    write_text(machine, "in a window")
    shown = assert_console_is_readable(machine)
    found = wait_for_part(x_server, shown)
    machine.keep(x_server.picture(), "window")
    assert found


def test_a_drawing_is_in_the_window(machine: Machine, x_server: XServer) -> None:
    disk.mount(machine)
    expected = opengl.expected_scene(machine, 30)
    with opengl.shown_scene(machine, 30):
        assert nearest(machine, expected).tolerable
        found = wait_for_part(x_server, machine.screendump())
        machine.keep(x_server.picture(), "window")
    assert found
