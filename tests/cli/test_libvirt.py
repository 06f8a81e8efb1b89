# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The command lines that libvirt 9 to 11 starts a vhost-user GPU with, and the surroundings that it gives it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vgpud.errors import EXIT_RENDERER_UNAVAILABLE

from ..device.process import opengl_unavailable
from ..driver.frontend import Feature, Frontend, Request

# What libvirtd's own service manager has put into its environment, it leaves there.
ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "SYSTEMD_EXEC_PID": "1"}
NO_NODE = "--render-node=/dev/dri/renderD999"
needs_opengl = pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())


@contextmanager
def started(*flags: str, **variables: str) -> Iterator[tuple["subprocess.Popen[bytes]", Frontend]]:
    """One end of a pair is passed on as `--fd=N`; nothing is read or written, and the folder is the root."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vgpud", f"--fd={theirs.fileno()}", *flags],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            env={**ENVIRONMENT, **variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    frontend = Frontend(ours)
    try:
        yield process, frontend
    finally:
        frontend.close()
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("flags", "opengl"),
    [
        ((), False),
        # On a host with a render node libvirt names it whatever the domain wants.
        ((NO_NODE,), False),
        pytest.param(("--virgl",), True, marks=needs_opengl),
    ],
    ids=["2D", "2D with a node", "accel3d"],
)
def test_a_domain_s_machine_is_served_until_it_leaves(flags: tuple[str, ...], opengl: bool) -> None:
    with started(*flags) as (process, frontend):
        assert bool(frontend.ask_u64(Request.GET_FEATURES) & Feature.VIRGL) == opengl
        frontend.close()
        assert process.wait(5) == 0


def test_a_render_node_that_is_not_there_is_refused() -> None:
    with started("--virgl", NO_NODE) as (process, frontend):
        assert frontend.disconnected()
        assert process.wait(5) == EXIT_RENDERER_UNAVAILABLE


def test_the_service_manager_of_libvirt_is_told_nothing(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.setblocking(False)
        with started(NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000") as (process, frontend):
            assert frontend.ask_u64(Request.GET_FEATURES)
            frontend.close()
            assert process.wait(5) == 0
        with pytest.raises(BlockingIOError):
            manager.recv(65536)
