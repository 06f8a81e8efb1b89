# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The socket files: whose they are, and that none is left behind."""

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vgpud.config.runtime import PATH_BYTES_MAX
from vgpud.config.schema import Socket
from vgpud.control.client import Client
from vgpud.control.protocol import control_path
from vgpud.daemon.folder import Folder, bind_in
from vgpud.daemon.listener import open_control_listener, open_listener
from vgpud.errors import ConfigurationError

# One that whoever runs this may give files to.
SOME_GROUP = 1 if os.geteuid() == 0 else os.getgid()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def refused(*arguments: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_socket_that_cannot_be_given_away_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vgpu.sock"
    before = descriptors()
    monkeypatch.setattr(os, "chown", refused)
    with pytest.raises(ConfigurationError, match="Operation not permitted"):
        open_listener(Socket(path=path, group="0"))
    assert not path.exists()
    assert descriptors() == before


def test_a_socket_that_cannot_listen_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vgpu.sock"
    monkeypatch.setattr(socket.socket, "listen", refused)
    with pytest.raises(ConfigurationError, match="Operation not permitted"):
        open_listener(Socket(path=path))
    assert not path.exists()


class Exchange:
    """Does ``then`` as soon as a socket is bound, as somebody may to whom the folder belongs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
        bind = socket.socket.bind

        def bind_and_exchange(end: socket.socket, address: str) -> None:
            bind(end, address)
            then()

        monkeypatch.setattr(socket.socket, "bind", bind_and_exchange)


def test_the_file_that_a_link_in_the_place_of_the_socket_leads_to_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, secret = tmp_path / "vgpu.sock", tmp_path / "secret"
    secret.touch(0o600)
    before = secret.stat()

    def exchange() -> None:
        path.unlink()
        path.symlink_to(secret)

    Exchange(monkeypatch, exchange)
    with pytest.raises(ConfigurationError, match="has replaced the socket with another file"):
        open_listener(Socket(path=path, group=str(SOME_GROUP), mode=0o666))
    assert secret.stat() == before
    assert path.is_symlink()


def test_a_socket_of_ours_that_is_linked_from_elsewhere_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, elsewhere = tmp_path / "vgpu.sock", tmp_path / "another.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as another:
        another.bind(str(elsewhere))
        before = elsewhere.stat()

        def exchange() -> None:
            path.unlink()
            path.hardlink_to(elsewhere)

        Exchange(monkeypatch, exchange)
        with pytest.raises(ConfigurationError, match="has replaced the socket with another file"):
            open_listener(Socket(path=path, group=str(SOME_GROUP)))
    assert elsewhere.stat().st_gid == before.st_gid


def test_a_folder_that_is_exchanged_is_still_the_one_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, moved = tmp_path / "named", tmp_path / "moved"
    named.mkdir()
    path = named / "vgpu.sock"

    def exchange() -> None:
        named.rename(moved)
        named.mkdir()
        path.write_text("somebody's")

    Exchange(monkeypatch, exchange)
    listener = open_listener(Socket(path=path, group=str(SOME_GROUP)))
    assert stat.S_ISSOCK((moved / "vgpu.sock").stat().st_mode)
    listener.close()
    assert not (moved / "vgpu.sock").exists()
    assert path.read_text() == "somebody's"


def test_a_link_in_the_way_is_neither_followed_nor_removed(tmp_path: Path) -> None:
    path, target = tmp_path / "vgpu.sock", tmp_path / "target.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(target))
    path.symlink_to(target)
    with pytest.raises(ConfigurationError, match="exists but is not a socket"):
        open_listener(Socket(path=path))
    assert path.is_symlink()
    assert target.exists()


def test_a_stale_socket_makes_room_and_one_that_is_in_use_does_not(tmp_path: Path) -> None:
    path = tmp_path / "vgpu.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(path))
    listener = open_listener(Socket(path=path))
    with pytest.raises(ConfigurationError, match="in use: another program listens there"):
        open_listener(Socket(path=path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
    listener.close()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_permissions_are_the_configured_ones_whatever_the_mask(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "vgpu.sock"
    mask = os.umask(0o777)
    try:
        listener = open_listener(Socket(path=path, group=str(SOME_GROUP), mode=mode))
    finally:
        assert os.umask(mask) == 0o777
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.stat().st_gid == SOME_GROUP
    listener.close()


@pytest.fixture(params=["long name", "long folder"])
def longest(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A path of as many bytes as a socket's address has room for."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="v") as folder:
        place = Path(folder)
        if request.param == "long folder":
            place /= "x" * (PATH_BYTES_MAX - len(folder) - 3)
            place.mkdir()
        yield place / ("s" * (PATH_BYTES_MAX - len(str(place)) - 1))


def test_the_longest_path_of_a_socket_s_address_can_be_connected_to(longest: Path) -> None:
    assert len(os.fsencode(longest)) == 107
    before = descriptors()
    listener = open_listener(Socket(path=longest))
    control = open_control_listener(Socket(path=longest))
    assert control is not None
    names = {longest.name, control_path(longest).name}
    assert {path.name for path in longest.parent.iterdir()} == names
    assert {stat.S_IMODE(path.stat().st_mode) for path in longest.parent.iterdir()} == {0o660}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as vmm:
        vmm.connect(str(longest))
    client = Client(control_path(longest))
    control.end.accept()[0].close()
    client.close()
    with pytest.raises(ConfigurationError, match="in use"):
        open_control_listener(Socket(path=longest))
    listener.close()
    control.close()
    assert list(longest.parent.iterdir()) == []
    assert descriptors() == before


def test_a_longer_path_is_refused_and_the_limit_named(longest: Path) -> None:
    longer = longest.with_name(f"{longest.name}s")
    with pytest.raises(
        ConfigurationError, match=r"has 108 bytes, but a socket's may have at most 107$"
    ):
        open_listener(Socket(path=longer))
    assert list(longer.parent.iterdir()) == []


def test_what_came_first_to_a_long_name_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("s" * 200)

    def come_first() -> None:
        path.write_text("somebody's")

    Exchange(monkeypatch, come_first)
    with Folder.open(tmp_path) as folder, pytest.raises(OSError, match="exists"):
        bind_in(folder, path.name)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["somebody's"]


def test_a_folder_is_no_socket_and_a_place_in_it_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"such as {tmp_path}/vgpud.sock"):
        open_listener(Socket(path=tmp_path))


@pytest.mark.parametrize("path", ["/", ".", ".."])
def test_a_path_without_a_name_is_no_socket(path: str) -> None:
    with pytest.raises(ConfigurationError, match="this is a folder"):
        open_listener(Socket(path=Path(path)))


def test_a_group_that_does_not_exist_is_found_before_anything_is_made(tmp_path: Path) -> None:
    path = tmp_path / "vgpu.sock"
    path.touch()
    with pytest.raises(ConfigurationError, match=r"socket\.group: there is no group nobody-here"):
        open_listener(Socket(path=path, group="nobody-here"))
    assert path.is_file()


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "vgpu.sock"
    with pytest.raises(ConfigurationError, match=f"there is no folder {path.parent}"):
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
