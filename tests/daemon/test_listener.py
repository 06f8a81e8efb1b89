# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The socket files: whose they are, and that none is left behind."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from vgpud.config.schema import Socket
from vgpud.control.protocol import control_path
from vgpud.daemon.listener import open_control_listener, open_listener
from vgpud.errors import ConfigurationError


def refused(*arguments: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize(
    ("module", "name"), [(os, "chown"), (Path, "chmod")], ids=["its group", "its permissions"]
)
def test_a_socket_that_cannot_be_given_away_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    path = tmp_path / "vgpu.sock"
    monkeypatch.setattr(module, name, refused)
    with pytest.raises(ConfigurationError, match="Operation not permitted"):
        open_listener(Socket(path=path, group="0"))
    assert not path.exists()


def test_a_group_that_does_not_exist_is_found_before_anything_is_made(tmp_path: Path) -> None:
    path = tmp_path / "vgpu.sock"
    path.touch()
    with pytest.raises(ConfigurationError, match=r"socket\.group: there is no group nobody-here"):
        open_listener(Socket(path=path, group="nobody-here"))
    assert path.is_file()


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "vgpu.sock"
    with pytest.raises(ConfigurationError, match="No such file"):
        open_listener(Socket(path=path))


def test_a_file_that_replaced_ours_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "vgpu.sock"
    listener = open_listener(Socket(path=path))
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        listener.close()
        assert path.exists()


def test_others_never_reach_the_control_socket(tmp_path: Path) -> None:
    path = tmp_path / "vgpu.sock"
    control = open_control_listener(Socket(path=path, mode=0o666))
    assert control is not None
    assert stat.S_IMODE(control_path(path).stat().st_mode) == 0o660
    control.close()
    assert not control_path(path).exists()
