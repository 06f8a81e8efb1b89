# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which daemon vgpuctl asks."""

from pathlib import Path

import pytest

from vgpud.config.schema import Socket
from vgpud.control.client import Client, NobodyError
from vgpud.control.protocol import ControlError, control_path
from vgpud.daemon.listener import open_control_listener


def test_a_daemon_is_reached_wherever_it_can_listen(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    path = folder / "vgpu.sock"
    listener = open_control_listener(Socket(path=path))
    assert listener is not None
    client = Client(control_path(path))
    listener.end.accept()[0].close()
    client.close()
    listener.close()


def test_where_nobody_listens_is_said(tmp_path: Path) -> None:
    (tmp_path / "file.control").touch()
    for name in ("missing.control", "file.control", "file.control/below"):
        with pytest.raises(NobodyError, match=f"no vgpud answers at {tmp_path}/[a-z]+"):
            Client(tmp_path / name)
    (tmp_path / "loop.control").symlink_to("loop.control")
    with pytest.raises(ControlError, match="loop: Too many levels of symbolic links"):
        Client(tmp_path / "loop.control")


def test_what_is_no_daemon_s_socket_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name, words in (
        ("file", "file: this is not a socket"),
        ("folder", f"this is a folder; .* such as {tmp_path}/folder/vgpud.sock"),
        ("vgpud.sock.control", f"name the daemon's socket, {tmp_path}/vgpud.sock$"),
        ("x" * 108, "a socket's path has at most 107 bytes"),
    ):
        with pytest.raises(NobodyError, match=words):
            Client(control_path(tmp_path / name))
