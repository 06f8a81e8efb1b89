# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Many machines on one daemon: what each further one costs, what all cost when they do nothing, and
what stays of them. There is no peer: the numbers are compared with the project's own bars.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.driver.backend import Backend
from tests.driver.fleet import Displays, Member, room_for
from tests.driver.flood import COMPUTING, flooding
from tests.driver.frontend import Frontend
from tests.driver.memory import MiB
from tests.driver.processes import wait_until
from tests.driver.witness import Latencies, Witness

from .peers import Peer
from .processes import cpu_time_of_tree, memory_of_tree, tree
from .rows import Metric, Numbers

FLEET = "fleet"
SETTLE_SECONDS = 1.0
# Machines that stay idle are asked for signs of life less and less often.
IDLE_AFTER_SECONDS, IDLE_SECONDS = 30.0, 40.0
ANSWER_SECONDS = 30.0
LEAVE_SECONDS = 30.0
LATENCIES = 1000

METRICS = (
    Metric("first_with_daemon", "memory of the first, its daemon included", "MiB", False, 45, True),
    Metric("further", "memory of each further machine", "MiB", False, 6, True),
    Metric("first_command", "from connecting to the first answer, median", "ms", False, None),
    Metric("first_command_max", "from connecting to the first answer, longest", "ms", False, 2000, True),
    Metric("idle", "CPU of all when nothing is done, for each second", "ms", False, 5, True),
    Metric("processes_left", "processes more than before, when all have left", "", False, 0, True),
    Metric("kept", "memory more than before, when all have left", "MiB", False, 2, True),
    Metric("connection", "memory kept of each connection that has gone", "bytes", False, None),
)  # fmt: skip


class FleetRow:
    """A row of the table; ``floods`` adds a line for each of these."""

    name = FLEET

    def __init__(self, floods: tuple[str, ...]) -> None:
        self.metrics = (
            *METRICS,
            *(metric for flood in floods for metric in _metrics_beside(flood)),
        )


def _metrics_beside(flood: str) -> Iterator[Metric]:
    """What does not come near vgpud has no bar, and says what the kernel's scheduler costs alone."""
    loud, bar = (
        ("two threads that only compute", None)
        if flood == COMPUTING
        else (f"a flood of {flood}", 2)
    )
    for what, title in (("cursor", "another's cursor"), ("config", "another's GET_CONFIG")):
        yield Metric(f"{what}_{flood}", f"{title} beside {loud}, p99", "x", False, bar, True)


def measure(
    peer: Peer, machines: int, connections: int, floods: tuple[str, ...], say: Callable[[str], None]
) -> Numbers:
    """``machines`` at the same time, then ``connections`` one after the other."""
    with Backend(peer.arguments) as backend, room_for(machines + 1):
        numbers = _come_and_go(backend, machines, say)
        if connections:
            numbers["connection"] = _connect(backend, connections)
            say(f"{connections} connections: {numbers['connection']:.0f} bytes each")
        for flood in floods:
            numbers |= _beside(backend.socket_path, flood)
            say(f"flood of {flood}: {_shown(numbers, flood)}")
    return numbers


def _shown(numbers: Numbers, flood: str) -> str:
    return ", ".join(f"{what} {numbers[f'{what}_{flood}']:.2f}x" for what in ("cursor", "config"))


def _come_and_go(backend: Backend, machines: int, say: Callable[[str], None]) -> Numbers:
    pid, numbers = backend.process.pid, {}
    with _members(backend.socket_path, 1):
        pass
    _wait_until_settled(pid)
    processes, before = len(tree(pid)), memory_of_tree(pid)
    with ExitStack() as stack:
        stack.enter_context(_members(backend.socket_path, 1))
        time.sleep(SETTLE_SECONDS)
        first = memory_of_tree(pid)
        numbers["first_with_daemon"] = first / MiB
        times = stack.enter_context(_members(backend.socket_path, machines - 1))
        numbers["first_command"] = sorted(times)[len(times) // 2] * 1e3
        numbers["first_command_max"] = max(times) * 1e3
        time.sleep(SETTLE_SECONDS)
        numbers["further"] = (memory_of_tree(pid) - first) / (machines - 1) / MiB
        say(f"{machines} machines: {numbers['further']:.2f} MiB for each further one")
        numbers["idle"] = _idle(pid)
    _wait_until_settled(pid, processes)
    numbers["processes_left"] = float(len(tree(pid)) - processes)
    numbers["kept"] = (memory_of_tree(pid) - before) / MiB
    return numbers


@contextmanager
def _members(socket_path: Path, count: int) -> Iterator[list[float]]:
    """That many machines, which have drawn; for each, the seconds from connecting to the answers of
    its first commands.
    """
    displays, times = Displays(), []
    with ExitStack() as stack:
        stack.callback(displays.close)
        members = []
        for number in range(count):
            begun = time.monotonic()
            # It makes a resource and shows it before this returns.
            member = Member(socket_path, displays, number, ANSWER_SECONDS)
            times.append(time.monotonic() - begun)
            stack.callback(member.close)
            members.append(member)
        for member in members:
            if not member.shows(member.draw()):
                raise AssertionError("a machine does not show what it drew")
        yield times


def _idle(pid: int) -> float:
    """Milliseconds of CPU in each second, of all processes."""
    time.sleep(IDLE_AFTER_SECONDS)
    begun, before = time.monotonic(), cpu_time_of_tree(pid)
    time.sleep(IDLE_SECONDS)
    return (cpu_time_of_tree(pid) - before) / (time.monotonic() - begun) * 1e3


def _wait_until_settled(pid: int, processes: int = 2) -> None:
    """Waits until only the daemon and its spawner are left, or the time is over."""
    wait_until(lambda: len(tree(pid)) <= processes, LEAVE_SECONDS)
    time.sleep(SETTLE_SECONDS)


def _connect(backend: Backend, count: int) -> float:
    """Bytes that stay of each connection.  The first tenth is not counted, since it includes what
    is made only once.
    """
    pid = backend.process.pid
    _come_one_by_one(backend.socket_path, count // 10)
    _wait_until_settled(pid)
    before = memory_of_tree(pid)
    counted = count - count // 10
    _come_one_by_one(backend.socket_path, counted)
    _wait_until_settled(pid)
    return (memory_of_tree(pid) - before) / counted


def _come_one_by_one(socket_path: Path, count: int) -> None:
    """Each sends enough for a session, and leaves."""
    for _ in range(count):
        frontend = Frontend.connect(socket_path, timeout=ANSWER_SECONDS)
        frontend.realize(())
        frontend.connection.shutdown(socket.SHUT_RDWR)
        frontend.close()


def _beside(socket_path: Path, flood: str) -> Numbers:
    """How many times longer another machine waits for answers while one floods; quiet and flood are
    measured in turn.
    """
    with ExitStack() as stack:
        with _waiting_for_nobody():
            witness = stack.enter_context(Witness(socket_path, seconds=ANSWER_SECONDS))
            quiet = _latencies(witness)
        with flooding(socket_path, flood), _waiting_for_nobody():
            loud = _latencies(witness)
    return {
        f"{what}_{flood}": after.percentile(99) / before.percentile(99)
        for what, before, after in zip(("cursor", "config"), quiet, loud, strict=True)
    }


@contextmanager
def _waiting_for_nobody() -> Iterator[None]:
    """This thread, and those that it starts, go before all others (SCHED_FIFO), so that what is
    measured is not how long the instrument waits for a processor.  Where that is not allowed, as it
    is for root alone, it is measured too.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def _latencies(witness: Witness) -> tuple[Latencies, Latencies]:
    return witness.cursor_latencies(LATENCIES), witness.config_latencies(LATENCIES)
