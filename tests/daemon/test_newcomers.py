# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A connection costs no process before it sends something, and one too many is refused with a
reason.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from vgpud.daemon.log_shares import USER_AT_ONCE, USER_PER_SECOND

from ..driver.backend import Machine
from ..driver.frontend import Frontend
from ..driver.protocol import DisconnectedError
from ..driver.tree import Tree
from .running import settled_descriptors, show, wait_until

Start = Callable[..., Tree]
GET_FEATURES = b"\x01\0\0\0\x01\0\0\0\0\0\0\0"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A daemon that listens, with these limits."""
    with ExitStack() as ends:

        def started(**limits: float) -> Tree:
            file = tmp_path / "vgpud.toml"
            lines = [f"{name} = {value}" for name, value in limits.items()]
            file.write_text("\n".join(["[limits]", *lines]))
            tree = ends.enter_context(Tree("--config", str(file)))
            assert tree.listens()
            return tree

        yield started


def connected(tree: Tree) -> socket.socket:
    end = socket.socket(socket.AF_UNIX)
    end.connect(str(tree.socket_path))
    end.settimeout(5)
    return end


def is_closed(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b""
    except ConnectionResetError:
        return True


def is_open(end: socket.socket) -> bool:
    end.setblocking(False)
    try:
        return end.recv(1) != b""
    except BlockingIOError:
        return True
    finally:
        end.settimeout(5)


def test_a_silent_connection_is_a_descriptor_and_no_process(start: Start) -> None:
    tree = start()
    before, processes = len(settled_descriptors(tree.daemon)), tree.processes()
    with ExitStack() as ends:
        silent = [ends.enter_context(connected(tree)) for _ in range(60)]
        assert wait_until(lambda: tree.status()["limits"]["silent_connections"]["used"] == 60)
        assert tree.processes() == processes
        assert len(settled_descriptors(tree.daemon)) == before + 60
        with Machine(tree.socket_path) as machine:
            show(machine)
        assert all(map(is_open, silent))
    assert wait_until(lambda: len(settled_descriptors(tree.daemon)) == before)
    assert tree.processes() == processes


def test_the_oldest_silent_connection_makes_room(start: Start) -> None:
    tree = start(silent_connections=3)
    with ExitStack() as ends:
        silent = [ends.enter_context(connected(tree)) for _ in range(5)]
        assert is_closed(silent[0])
        assert is_closed(silent[1])
        assert all(map(is_open, silent[2:]))
        words = f"process {os.getpid()} is not served: too many connections have said nothing yet"
        assert wait_until(lambda: tree.log.count(words) == 2)
        # Connections that have sent something do not count.
        silent[2].sendall(GET_FEATURES)
        assert silent[2].recv(20)[:4] == GET_FEATURES[:4]


def test_silence_has_an_end(start: Start) -> None:
    tree = start(first_message=0.3)
    began = time.monotonic()
    with connected(tree) as silent, Machine(tree.socket_path) as machine:
        assert is_closed(silent)
        assert 0.25 < time.monotonic() - began < 3
        assert wait_until(lambda: "it has said nothing for 0.3 seconds" in tree.log)
        show(machine)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("machines", "2 machines are served already (limits.machines)"),
        (
            "connections_of_user",
            f"user {os.getuid()} has 2 machines already (limits.connections_of_user)",
        ),
    ],
)
def test_one_machine_too_many_is_refused_in_words(start: Start, limit: str, words: str) -> None:
    tree = start(**{limit: 2})
    with Machine(tree.socket_path) as one, Machine(tree.socket_path) as other:
        for _ in range(3):
            refused = Frontend.connect(tree.socket_path)
            with suppress(DisconnectedError):  # it may be refused before
                refused.send(1)
            assert refused.disconnected()
            refused.close()
        assert wait_until(lambda: tree.log.count(words) == 3)
        assert tree.status()["limits"][limit] == {"used": 2, "limit": 2}
        assert len(tree.machines()) == 2
        for machine in (one, other):
            show(machine)
    assert wait_until(lambda: not tree.machines())
    with Machine(tree.socket_path) as machine:
        show(machine)


def test_what_is_in_a_refused_connection_is_closed(start: Start) -> None:
    tree = start(machines=1)
    with Machine(tree.socket_path) as machine:
        before = settled_descriptors(tree.daemon)
        for _ in range(5):
            reading, writing = os.pipe()
            with connected(tree) as refused:
                with suppress(BrokenPipeError):
                    socket.send_fds(refused, [GET_FEATURES], [writing])
                os.close(writing)
                assert is_closed(refused)
                assert os.read(reading, 1) == b""
            os.close(reading)
        assert settled_descriptors(tree.daemon) == before
        assert len(tree.machines()) == 1
        show(machine)


def test_a_reload_changes_the_limits_for_who_comes_next(start: Start, tmp_path: Path) -> None:
    tree = start(machines=1)
    with Machine(tree.socket_path):
        (tmp_path / "vgpud.toml").write_text("[limits]\nmachines = 2\n")
        tree.process.send_signal(1)
        assert wait_until(lambda: "SIGHUP: the configuration was read again" in tree.log)
        with Machine(tree.socket_path) as other:
            show(other)


def test_machines_of_an_earlier_daemon_count(start: Start) -> None:
    tree = start(connections_of_user=1)
    with Machine(tree.socket_path) as machine:
        tree.kill_daemon()
        tree.start_again()
        assert tree.listens()
        assert wait_until(lambda: len(tree.machines()) == 1)
        with connected(tree) as refused:
            with suppress(BrokenPipeError):
                refused.sendall(GET_FEATURES)
            assert is_closed(refused)
        words = f"user {os.getuid()} has 1 machines already"
        assert wait_until(lambda: words in tree.log)
        show(machine)


def test_who_connects_again_and_again_has_no_new_share_of_the_log_each_time(start: Start) -> None:
    tree = start(silent_connections=1)
    began = time.monotonic()
    for _ in range(20):
        with ExitStack() as ends:
            silent = [ends.enter_context(connected(tree)) for _ in range(100)]
            assert all(map(is_closed, silent[:-1]))
    assert wait_until(lambda: f"user {os.getuid()}: " in tree.log, 10)
    line = next(line for line in tree.log.splitlines() if f"user {os.getuid()}: " in line)
    assert re.search(r"user \d+: \d+ lines of its machines are not shown", line)
    lines = len(tree.log.splitlines())
    assert USER_AT_ONCE <= lines < USER_AT_ONCE + 10 + USER_PER_SECOND * (time.monotonic() - began)
