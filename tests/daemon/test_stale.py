# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a daemon leaves behind that was killed, the next one takes away, and nothing that somebody listens at."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from vgpud.config import runtime
from vgpud.config.schema import Socket
from vgpud.daemon import own_control
from vgpud.daemon.own_control import open_own_control
from vgpud.daemon.stale import FRESH_SECONDS, sweep

from ..driver.backend import Backend
from .running import COMMAND, daemon, vmm, wait_until

AGO = time.time() - FRESH_SECONDS - 1


@pytest.fixture
def owned() -> Iterator[ExitStack]:
    with ExitStack() as owned:
        yield owned


def bound(owned: ExitStack, path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket that was there before."""
    end = owned.enter_context(socket.socket(socket.AF_UNIX, kind))
    end.bind(str(path))
    os.utime(path, (AGO, AGO))
    return end


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_nobody_listens_at_goes_and_nothing_else(owned: ExitStack, tmp_path: Path) -> None:
    bound(owned, tmp_path / "view.left")
    bound(owned, tmp_path / "other.left")
    bound(owned, tmp_path / "view.listening").listen()
    bound(owned, tmp_path / "view.packets", socket.SOCK_DGRAM)
    full = bound(owned, tmp_path / "view.full")
    full.listen(0)
    waiting = owned.enter_context(socket.socket(socket.AF_UNIX))
    waiting.connect(str(tmp_path / "view.full"))
    bound(owned, tmp_path / "view.fresh")
    os.utime(tmp_path / "view.fresh")
    (tmp_path / "view.file").touch()
    (tmp_path / "view.folder").mkdir()
    (tmp_path / "view.link").symlink_to(tmp_path / "other.left")
    before = names(tmp_path)
    sweep(tmp_path, lambda name: name.startswith("view."))
    assert names(tmp_path) == [name for name in before if name != "view.left"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's")
def test_another_user_s_stays(owned: ExitStack, tmp_path: Path) -> None:
    bound(owned, tmp_path / "view.left")
    os.chown(tmp_path / "view.left", 65534, -1)
    sweep(tmp_path, lambda _: True)
    assert names(tmp_path) == ["view.left"]


def test_a_folder_that_is_not_there_has_nothing_in_it(tmp_path: Path) -> None:
    sweep(tmp_path / "none", lambda _: True)


def test_the_sockets_of_a_killed_daemon_s_viewers_go_with_the_next(tmp_path: Path) -> None:
    pytest.importorskip("vgpud._view", reason="it is built where libvncserver's headers are")
    view = tmp_path / "view"
    left = [tmp_path / "view.web", tmp_path / "view.db"]
    with daemon("--view", f"unix:{view}") as backend:
        assert wait_until(backend.socket_path.exists)
        with vmm(backend.socket_path, "web"), vmm(backend.socket_path, "db"):
            assert wait_until(lambda: all(path.exists() for path in left), 5)
            backend.process.kill()
            backend.process.wait()
        for path in left:
            os.utime(path, (AGO, AGO))
        with Backend(
            lambda path: [*COMMAND, "--socket-path", str(path), "--view", f"unix:{view}"]
        ) as other:
            assert wait_until(other.socket_path.exists)
            assert wait_until(lambda: not any(path.exists() for path in left), 5)
            assert view.exists()


def test_control_sockets_of_machines_that_were_killed_go_with_the_next_machine(
    owned: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_control, "SYSTEM_RUNTIME", tmp_path / "none")
    monkeypatch.setattr(runtime, "SYSTEM_RUNTIME", tmp_path / "own/vgpud")
    folder = tmp_path / "own/vgpud/machines"
    (tmp_path / "own").mkdir(0o700)
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "own")}
    first = open_own_control("first", Socket(), environment)
    assert first is not None
    # Killed: its file stays.
    first.listener.end.close()
    os.utime(folder / "first.control", (AGO, AGO))
    second = open_own_control("second", Socket(), environment)
    assert second is not None
    owned.callback(second.listener.close)
    assert names(folder) == ["second.control"]
