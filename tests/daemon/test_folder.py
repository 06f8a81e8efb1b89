# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Sockets in a folder of our own, beside a socket that others connect to."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from vgpud.daemon.folder import Folder, bind_in
from vgpud.errors import ConfigurationError


def private_folder(path: Path) -> Folder:
    with Folder.open(path.parent) as parent:
        return parent.private(path.name)


def test_a_private_folder_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "vgpu.sock.d"
    mask = os.umask(0)
    try:
        private_folder(path).close()
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with private_folder(path) as folder:
        assert folder.path == path
        assert folder.names() == []


def link(path: Path) -> None:
    path.with_name("elsewhere").mkdir(0o700)
    path.symlink_to("elsewhere")


def open_to_others(path: Path) -> None:
    path.mkdir()
    path.chmod(0o750)


def of_another(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, who can give a folder away")
    path.mkdir(0o700)
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (link, "exists but is not a folder"),
        (Path.touch, "exists but is not a folder"),
        (open_to_others, "others may use the folder"),
        (of_another, "the folder belongs to another user"),
    ],
)
def test_what_is_not_ours_alone_is_not_used(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    path = tmp_path / "vgpu.sock.d"
    make(path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ConfigurationError, match=sentence):
        private_folder(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_sockets_in_it_are_bound_connected_to_and_removed(
    tmp_path: Path, kind: socket.SocketKind
) -> None:
    path = tmp_path / ("long" * 30)
    with private_folder(path) as folder:
        with bind_in(folder, "one", kind) as end, socket.socket(socket.AF_UNIX, kind) as client:
            assert not os.get_inheritable(end.fileno())
            assert stat.S_IMODE((path / "one").stat().st_mode) == 0o600
            assert folder.names() == ["one"]
            with pytest.raises(ConnectionRefusedError):
                folder.connect(client, "one")
            end.listen()
            folder.connect(client, "one")
            accepted, _ = end.accept()
            with accepted:
                client.send(b"hello")
                assert accepted.recv(10) == b"hello"
        with pytest.raises(OSError, match="in use"):
            bind_in(folder, "one", kind)
        folder.unlink("one")
        folder.unlink("one")
        assert folder.status("one") is None


def test_a_link_is_not_connected_through(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end, socket.socket(socket.AF_UNIX) as client:
        end.bind(str(tmp_path / "real"))
        end.listen()
        (tmp_path / "link").symlink_to("real")
        with Folder.open(tmp_path) as folder, pytest.raises(OSError, match="refused"):
            folder.connect(client, "link")


def test_it_stays_the_same_folder_whatever_becomes_of_its_name(tmp_path: Path) -> None:
    with private_folder(tmp_path / "folder") as folder:
        (tmp_path / "folder").rename(tmp_path / "moved")
        (tmp_path / "folder").symlink_to("/")
        bind_in(folder, "one").close()
        assert (tmp_path / "moved" / "one").is_socket()
        assert folder.names() == ["one"]
