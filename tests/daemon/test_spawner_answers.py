# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How long the daemon waits for a spawner's sign of life."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from vgpud.daemon import spawner
from vgpud.daemon.spawner import ANSWER_SECONDS, BEGIN_SECONDS, PING_SECONDS, Process, Spawner
from vgpud.tree.messages import Pong


@pytest.fixture
def silent() -> Iterator[Process]:
    """One that reads nothing and says nothing."""
    orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = Process(os.getpid(), orders, -1, -1)
    with theirs:
        yield process
    process.close()


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When it was."""
    times: list[float] = []
    monkeypatch.setattr(spawner, "kill", lambda _: times.append(trio.current_time()))
    return times


@pytest.mark.parametrize("answers", [0, 1])
async def test_one_that_begins_has_more_time_than_one_that_runs(
    answers: int, silent: Process, killed: list[float], autojump_clock: trio.testing.MockClock
) -> None:
    watcher = Spawner(silent, lambda _: None, lambda: None)
    begin = trio.current_time()
    with trio.move_on_after(2 * BEGIN_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher._watch, silent)
            for serial in range(1, answers + 1):
                await trio.sleep(PING_SECONDS / 2)
                watcher._take(Pong(serial))
    expected = 2 * PING_SECONDS + ANSWER_SECONDS if answers else BEGIN_SECONDS
    assert killed == [pytest.approx(begin + expected)]


async def test_one_that_hung_when_it_was_killed_is_reaped_later(
    silent: Process, killed: list[float], autojump_clock: trio.testing.MockClock
) -> None:
    watcher = Spawner(silent, lambda _: None, lambda: None)
    late = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    watcher._dying.append(os.pidfd_open(late))
    with trio.move_on_after(3 * PING_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher._watch, silent)
            await trio.sleep(PING_SECONDS / 2)
            os.kill(late, signal.SIGKILL)
            os.waitid(os.P_PID, late, os.WEXITED | os.WNOWAIT)
            for serial in range(1, 4):
                watcher._take(Pong(serial))
                await trio.sleep(PING_SECONDS)
    with pytest.raises(ChildProcessError):
        os.waitpid(late, 0)
    assert watcher._dying == []
