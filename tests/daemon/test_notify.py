# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a service manager is told, with a socket in its place."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud.daemon.notify import ServiceManager

from ..driver.backend import Machine
from .running import COMMAND


class Manager:
    """A service manager's socket, and what comes out of it."""

    def __init__(self, path: str) -> None:
        self.address = path
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.bind("\0" + path[1:] if path.startswith("@") else path)
        self._end.settimeout(5)

    def close(self) -> None:
        self._end.close()

    def next(self) -> list[str]:
        """The assignments of the next message."""
        return self._end.recv(65536).decode().split("\n")

    def until(self, assignment: str) -> list[str]:
        """The first message with it."""
        while assignment not in (message := self.next()):
            pass
        return message


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


def start(path: Path, manager: Manager, **variables: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "NOTIFY_SOCKET": manager.address, **variables}
    return subprocess.Popen(
        [*COMMAND, "--socket-path", path], env=environment, stderr=subprocess.DEVNULL
    )


def end(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.kill()
    daemon.wait()


def test_it_is_ready_when_it_listens_and_says_whom_it_serves(
    tmp_path: Path, manager: Manager
) -> None:
    daemon = start(tmp_path / "s", manager)
    try:
        assert manager.next() == ["READY=1", "STATUS=2D in software; no machine"]
        with Machine(tmp_path / "s"):
            (status,) = manager.next()
            assert status == f"STATUS=2D in software; 1 machine: 1, process {os.getpid()}"
        assert manager.next() == ["STATUS=2D in software; no machine"]
        daemon.terminate()
        assert manager.next()[0] == "STOPPING=1"
        assert daemon.wait(5) == 0
    finally:
        end(daemon)


def test_a_reload_is_announced_and_ends(tmp_path: Path, manager: Manager) -> None:
    daemon = start(tmp_path / "s", manager)
    try:
        manager.until("READY=1")
        before = time.monotonic_ns() // 1000
        daemon.send_signal(signal.SIGHUP)
        word, moment = manager.next()
        assert word == "RELOADING=1"
        assert before < int(moment.removeprefix("MONOTONIC_USEC=")) < time.monotonic_ns() // 1000
        assert manager.next()[0] == "READY=1"
    finally:
        end(daemon)


def test_the_sign_of_life_comes_twice_as_often_as_is_asked_for(
    tmp_path: Path, manager: Manager
) -> None:
    daemon = start(tmp_path / "s", manager, WATCHDOG_USEC="1000000")
    try:
        manager.until("WATCHDOG=1")
        begin = time.monotonic()
        for _ in range(2):
            assert manager.next() == ["WATCHDOG=1"]
        assert 0.8 < time.monotonic() - begin < 2
    finally:
        end(daemon)


def test_a_watchdog_of_another_process_is_not_ours() -> None:
    environment = {"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}
    assert ServiceManager.take(environment).watchdog_seconds is None
    environment = {"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "5000000"}
    assert ServiceManager.take(environment).watchdog_seconds == 5
    assert environment == {}


def test_a_manager_that_is_gone_or_does_not_read_disturbs_nobody() -> None:
    ServiceManager("/nowhere/at/all").alive()
    full = Manager(f"@vgpud-test-{os.getpid()}")
    try:
        told = ServiceManager(full.address)
        for _ in range(10_000):
            told.alive()
        assert full.next() == ["WATCHDOG=1"]
    finally:
        full.close()


def test_without_a_manager_nothing_is_claimed() -> None:
    nobody = ServiceManager.take({"WATCHDOG_USEC": "1000000"})
    assert not nobody
    assert nobody.watchdog_seconds is None
