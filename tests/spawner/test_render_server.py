# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A render server and its workers, none of which ends on its own: what ends them."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud.link import rights
from vgpud.tree.messages import (
    DeviceEnded,
    DeviceStarted,
    Forked,
    Ping,
    Pong,
    ServerEnded,
    ServerNotStarted,
    ServerStarted,
)
from vgpud.tree.wishes import Wishes, worker_end

from .. import stand_in
from ..daemon.running import children, is_running, process_name, settled_descriptors, wait_until
from .test_wishes import Session, Spawner


@pytest.fixture
def spawner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spawner]:
    program = tmp_path / "virgl_render_server"
    source = Path(stand_in.__file__).with_name("render_server.c")
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    monkeypatch.setenv("RENDER_SERVER_EXEC_PATH", str(program))
    # Where it may be read, and nowhere else.
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path))
    made = Spawner()
    yield made
    made.close()


class Server:
    """One that a session has wished for, with its device process."""

    def __init__(self, spawner: Spawner) -> None:
        self.session = Session(spawner, 7)
        self.session.wish(b"R")
        started, self.ends = self.session.granted()
        assert isinstance(started, DeviceStarted)
        assert len(self.ends) == 2
        self.device = started.pid
        assert spawner.says(Forked) == Forked(7, "device", self.device)
        # Nobody needs one yet.
        assert children(spawner.process.pid) == [self.device]
        self.session.wish(b"B")
        server, ends = self.session.granted()
        assert isinstance(server, ServerStarted)
        assert server.device == self.device
        assert len(ends) == 1
        self.ends += ends
        self.pid = server.pid
        assert spawner.says(Forked) == Forked(7, "render-server", self.pid)
        assert wait_until(lambda: {"1", "2", "3", "-1"} == self.workers().keys())
        self.all = [self.device, self.pid, *self.workers().values()]

    def workers(self) -> dict[str, int]:
        """By the numbers of their contexts."""
        names = {process_name(pid): pid for pid in children(self.pid)}
        found = {name.removeprefix("virgl-").rpartition("-")[0]: pid for name, pid in names.items()}
        return {ctx_id: pid for ctx_id, pid in found.items() if ctx_id}

    def close(self) -> None:
        rights.close(self.ends)
        self.session.close()


@pytest.fixture
def server(spawner: Spawner) -> Iterator[Server]:
    made = Server(spawner)
    yield made
    made.close()


def test_a_worker_is_ended_alone(server: Server) -> None:
    workers = server.workers()
    server.session.wish(worker_end(2))
    assert wait_until(lambda: server.workers().keys() == {"1", "3", "-1"})
    server.session.wish(worker_end((1 << 32) - 1))
    assert wait_until(lambda: server.workers().keys() == {"1", "3"})
    assert all(map(is_running, (server.device, server.pid, workers["1"], workers["3"])))


def test_where_none_has_that_name_all_workers_are(server: Server) -> None:
    server.session.wish(worker_end(12))
    assert wait_until(lambda: not server.workers())
    assert is_running(server.pid)
    assert is_running(server.device)


def _are_gone(pids: list[int]) -> bool:
    """Reaped, too."""
    return wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_with_a_server_go_its_workers(server: Server) -> None:
    server.session.wish(b"S")
    assert server.session.granted()[0] == ServerEnded(server.pid, 0, signal.SIGKILL, False)
    assert _are_gone(server.all[1:])
    assert is_running(server.device)


def test_a_server_that_dies_is_told(server: Server) -> None:
    os.kill(server.pid, signal.SIGTERM)
    assert server.session.granted()[0] == ServerEnded(server.pid, 0, signal.SIGTERM, False)
    assert _are_gone(server.all[1:])


@pytest.mark.parametrize("hung", [False, True], ids=["that work", "that hang"])
def test_with_a_device_process_go_all(server: Server, hung: bool) -> None:
    if hung:
        for pid in server.all[1:]:
            os.kill(pid, signal.SIGSTOP)
    server.session.wish(b"K")
    told = server.session.granted()[0]
    if isinstance(told, ServerEnded):
        # It has seen that nobody is at the other end of its socket.
        told = server.session.granted()[0]
    assert told == DeviceEnded(server.device, 0, signal.SIGKILL, False)
    assert _are_gone(server.all)


def test_with_a_session_go_all(spawner: Spawner) -> None:
    server = Server(spawner)
    for pid in server.all[1:]:
        os.kill(pid, signal.SIGSTOP)
    server.close()
    assert _are_gone(server.all)


def test_without_a_spawner_too(server: Server, spawner: Spawner) -> None:
    """By the kernel, which sees that the session has gone."""
    for pid in server.all[1:]:
        os.kill(pid, signal.SIGSTOP)
    os.kill(spawner.process.pid, signal.SIGSTOP)
    rights.close(server.ends)
    server.ends = []
    assert wait_until(lambda: not any(map(is_running, server.all)))
    os.kill(spawner.process.pid, signal.SIGCONT)


def test_one_is_had_once(server: Server) -> None:
    for _ in range(2):
        server.session.wish(b"B")
        assert server.session.granted()[0] == ServerNotStarted(server.device, errno.ENOENT)
    assert is_running(server.pid)


def test_a_device_process_without_one_has_none(spawner: Spawner) -> None:
    session = Session(spawner, 7)
    # Nobody hears of a wish for nobody.
    session.wish(b"BD")
    started, ends = session.granted()
    assert isinstance(started, DeviceStarted)
    session.wish(b"B")
    assert session.granted()[0] == ServerNotStarted(started.pid, errno.ENOENT)
    rights.close(ends)
    session.close()


def test_who_waits_for_one_that_never_comes_sees_that(spawner: Spawner) -> None:
    """Nothing of it is left with the spawner when the device process has ended."""

    def sockets() -> list[str]:
        found = settled_descriptors(spawner.process.pid)
        return [name for name in found if name.startswith("socket:")]

    spawner.tell(Ping(1))
    spawner.says(Pong)
    before = sockets()
    session = Session(spawner, 7)
    session.wish(b"R")
    _, ends = session.granted()
    rights.close(ends)
    assert isinstance(session.granted()[0], DeviceEnded)
    session.close()
    assert wait_until(lambda: sockets() == before, 20)


def test_wishes_may_come_in_pieces() -> None:
    wishes = Wishes()
    whole = b"D" + worker_end(0x44565344) + b"K" + worker_end(7)
    found = [wish for byte in whole for wish in wishes.feed(bytes([byte]))]
    assert found == [(b"D", 0), (b"C", 0x44565344), (b"K", 0), (b"C", 7)]
