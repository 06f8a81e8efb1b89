# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A daemon that was started at a terminal: its processes are of its session, but what the terminal does is for itself alone."""

import os
import pty
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from vgpud.tree.process import status_fields

from ..driver.backend import Machine
from .running import COMMAND, devices, is_running, named, sessions, show, tree, wait_until

INTERRUPT = b"\x03"
SPAWNER = "vgpud-spawner"
GROUP, SESSION, TERMINAL = 2, 3, 4  # of /proc/PID/stat after the name


def place(process: int) -> tuple[int, int, int]:
    """Its process group, its session, and its terminal's number."""
    fields = status_fields(process)
    return int(fields[GROUP]), int(fields[SESSION]), int(fields[TERMINAL])


@dataclass
class AtTerminal:
    """A daemon, and the other end of its terminal."""

    process: int
    terminal: int
    socket: Path


@pytest.fixture
def at_terminal() -> Iterator[AtTerminal]:
    with TemporaryDirectory(prefix="vgpud-", dir="/tmp") as folder:
        path = Path(folder) / "vhost.sock"
        process, terminal = pty.fork()
        if not process:
            os.execv(COMMAND[0], [*COMMAND, "--socket-path", str(path)])
        try:
            assert wait_until(path.exists, 20)
            yield AtTerminal(process, terminal, path)
        finally:
            left = [process, *tree(process)]
            for one in filter(is_running, left):
                os.kill(one, signal.SIGKILL)
            with suppress(ChildProcessError):  # its end was seen
                os.waitpid(process, 0)
            assert wait_until(lambda: not any(map(is_running, left)))
            os.close(terminal)


def test_its_processes_are_of_its_session_without_its_terminal(at_terminal: AtTerminal) -> None:
    group, session, number = place(at_terminal.process)
    assert number
    with Machine(at_terminal.socket) as machine:
        machine.guest.display_info()
        found = [place(one) for one in tree(at_terminal.process)]
    assert len(found) == 3
    for their_group, their_session, their_number in found:
        assert their_group != group
        assert (their_session, their_number) == (session, 0)


def test_a_key_of_the_terminal_reaches_the_daemon_which_ends_all_in_order(
    at_terminal: AtTerminal,
) -> None:
    with Machine(at_terminal.socket) as machine:
        machine.guest.display_info()
        others = tree(at_terminal.process)
        os.write(at_terminal.terminal, INTERRUPT)
        _, status = os.waitpid(at_terminal.process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert wait_until(lambda: not any(map(is_running, others)))


@pytest.mark.parametrize("first", [True, False], ids=["first spawner", "next"])
def test_a_process_that_was_stopped_costs_no_machine_when_the_daemon_dies(
    at_terminal: AtTerminal, first: bool
) -> None:
    """The kernel tells a group that has nobody outside any more by SIGHUP, if one of it is stopped."""
    daemon = at_terminal.process
    assert wait_until(lambda: named(daemon, SPAWNER))
    if not first:
        [gone] = named(daemon, SPAWNER)
        os.kill(gone, signal.SIGKILL)
        assert wait_until(lambda: named(daemon, SPAWNER) not in ([], [gone]), 20)
    with Machine(at_terminal.socket) as machine:
        show(machine)
        [device], [session] = devices(daemon), sessions(daemon)
        os.kill(device, signal.SIGSTOP)
        os.kill(daemon, signal.SIGKILL)
        os.waitpid(daemon, 0)
        os.kill(device, signal.SIGCONT)
        show(machine)
        assert is_running(session)
