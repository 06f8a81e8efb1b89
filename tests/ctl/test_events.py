# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Following events: none is missed, and a follower that does not read costs nobody anything."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from typing import IO, Any

import pytest
import trio
import trio.testing

from vgpud.control.client import Client
from vgpud.control.protocol import ControlError, control_path, request
from vgpud.ctl.daemons import survey
from vgpud.ctl.events import line
from vgpud.daemon.events import FOLLOWERS_MAX, WAITING_MAX, Events, Follower, changes

from ..daemon.running import (
    daemon,
    devices,
    open_descriptors,
    sessions,
    settled_descriptors,
    show,
    wait_until,
)
from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.commands import Format

COMMAND = [sys.executable, "-m", "vgpud.ctl", "--socket-path"]
SECONDS = 20


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    file = tmp_path / "vgpud.toml"
    file.write_text("[limits]\nresources = 2\nmachines = 3\n")
    with daemon("--config", str(file)) as running:
        assert wait_until(lambda: survey([running.socket_path]).answered, SECONDS)
        yield running


class Following:
    """What a client is told, from when it has been answered."""

    def __init__(self, backend: Backend) -> None:
        self.client = Client(control_path(backend.socket_path))
        self._told: Queue[dict[str, Any]] = Queue()
        events = self.client.follow()
        threading.Thread(target=self._read, args=(events,), daemon=True).start()

    def _read(self, events: Iterator[dict[str, Any]]) -> None:
        for event in events:
            self._told.put(event)

    def next(self) -> dict[str, Any]:
        return self._told.get(timeout=SECONDS)

    def wait_for(self, kind: str) -> dict[str, Any]:
        while (event := self.next())["kind"] != kind:
            pass
        return event


@contextmanager
def following(backend: Backend) -> Iterator[Following]:
    told = Following(backend)
    try:
        yield told
    finally:
        told.client.close()


@contextmanager
def program(backend: Backend, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """``vgpuctl events``; when it has begun it does not say."""
    command = [*COMMAND, str(backend.socket_path), "events", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_machines_that_come_and_go_are_told(backend: Backend) -> None:
    with following(backend) as client:
        began = time.time()
        with Machine(backend.socket_path) as machine:
            show(machine)
            came = client.wait_for("connected")
        left = client.wait_for("left")
    assert came["machine"] == left["machine"] == f"1, process {os.getpid()}"
    assert came["user"] == os.geteuid()
    assert began - 1 < came["time"] <= left["time"] < time.time() + 1
    assert left["ending"] is None


def test_who_is_refused_is_told_with_the_reason(backend: Backend) -> None:
    with (
        following(backend) as client,
        Machine(backend.socket_path),
        Machine(backend.socket_path),
        Machine(backend.socket_path),
    ):
        for _ in range(3):
            client.wait_for("connected")
        with socket.socket(socket.AF_UNIX) as one_more:
            one_more.connect(str(backend.socket_path))
            one_more.sendall(bytes(12))
            refused = client.wait_for("refused")
    assert refused["machine"] is None
    assert (refused["process"], refused["user"]) == (os.getpid(), os.geteuid())
    assert refused["reason"] == "3 machines are served already (limits.machines)"


def test_a_restart_is_told_with_its_reason(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
        with following(backend) as client:
            (device,) = devices(backend.process.pid)
            os.kill(device, signal.SIGABRT)
            restarted = client.wait_for("restarted")
    assert (restarted["count"], restarted["reason"]) == (1, "ended with SIGABRT")
    assert restarted["machine"].startswith("1, ")


def test_a_session_that_dies_or_does_not_answer_is_told(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
        with following(backend) as client:
            (session,) = sessions(backend.process.pid)
            os.kill(session, signal.SIGSTOP)
            client.wait_for("silent")
            os.kill(session, signal.SIGCONT)
            client.wait_for("answers")
            os.kill(session, signal.SIGKILL)
            assert client.wait_for("left")["ending"] == "SIGKILL"


def test_a_limit_that_is_hit_is_told(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine, following(backend) as client:
        for number in range(1, 6):
            machine.guest.ask(commands.resource_create_2d(number, Format.B8G8R8X8_UNORM, 8, 8))
        hit = client.wait_for("quota")
    assert hit["count"] == 3
    assert hit["limits"]["resources"] == {"used": 2, "limit": 2}
    assert "3 commands refused, out of memory (resources 2/2)" in line(hit)


def test_the_program_writes_a_line_for_each_as_it_happens(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
        with program(backend, "--json", "--machine", "1") as process:
            lines: Queue[str] = Queue()
            assert process.stdout is not None
            output = process.stdout
            threading.Thread(target=put_each, args=(output, lines), daemon=True).start()
            deadline = time.monotonic() + SECONDS
            while lines.empty() and time.monotonic() < deadline:
                # Until it has begun, and of another machine it is to say nothing.
                with Machine(backend.socket_path):
                    for device in devices(backend.process.pid)[:1]:
                        os.kill(device, signal.SIGKILL)
                    time.sleep(0.3)
            event = json.loads(lines.get(timeout=1))
    assert (event["kind"], event["machine"][:3]) == ("restarted", "1, ")
    assert event["socket"] == str(backend.socket_path)


def put_each(lines: IO[str], into: "Queue[str]") -> None:
    for one in lines:
        into.put(one)


def test_the_end_of_the_daemon_is_the_end(backend: Backend) -> None:
    before = len(settled_descriptors(backend.process.pid))
    with program(backend) as process:
        assert wait_until(lambda: len(open_descriptors(backend.process.pid)) > before, SECONDS)
        backend.process.terminate()
        assert process.wait(SECONDS) == 1


def test_lines_are_for_people() -> None:
    event = {"time": 0.0, "kind": "refused", "machine": None, "process": 7, "reason": "no\x1b[2J"}
    assert line(event).endswith(" refused: process 7: no?[2J")
    event = {"time": 0.0, "kind": "something new", "machine": "1, process 2"}
    assert line(event).endswith(" something new: 1, process 2")


# --- those who do not read


def connected(backend: Backend) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(control_path(backend.socket_path)))
    connection.settimeout(SECONDS)
    connection.sendall(request("events"))
    return connection


def test_whoever_follows_keeps_nobody_out_and_leaves_nothing(backend: Backend) -> None:
    before = len(settled_descriptors(backend.process.pid))
    clients = [connected(backend) for _ in range(FOLLOWERS_MAX)]
    try:
        assert all("result" in json.loads(one.recv(1 << 16)) for one in clients)
        with connected(backend) as one_more:
            assert "follow the events already" in json.loads(one_more.recv(1 << 16))["error"]
        subprocess.run(
            [*COMMAND, str(backend.socket_path), "status"], check=True, stdout=subprocess.DEVNULL
        )
    finally:
        for one in clients:
            one.close()
    assert wait_until(lambda: len(open_descriptors(backend.process.pid)) <= before, SECONDS)
    with connected(backend) as again:
        assert "result" in json.loads(again.recv(1 << 16))


def test_whoever_speaks_while_he_follows_is_left(backend: Backend) -> None:
    with connected(backend) as client:
        assert "result" in json.loads(client.recv(1 << 16))
        client.sendall(request("status"))
        # Or reset, with that request unread.
        with suppress(ConnectionResetError):
            assert client.recv(1 << 16) == b""


async def test_what_a_slow_reader_misses_is_counted_in_its_place(nursery: trio.Nursery) -> None:
    events, follower = await followed(nursery)
    for number in range(WAITING_MAX + 7):
        events.publish("connected", f"{number}, process 1")
    for number in range(WAITING_MAX):
        assert (await follower.next())["machine"] == f"{number}, process 1"
    events.publish("connected", "after")
    assert (await follower.next())["machine"] == "after"
    lost = await follower.next()
    assert (lost["kind"], lost["count"]) == ("lost", 7)


async def test_who_does_not_read_gives_way_to_one_more(nursery: trio.Nursery) -> None:
    events, deaf = await followed(nursery)
    others = [Follower() for _ in range(FOLLOWERS_MAX - 1)]
    for one in others:
        await events.follow(one)
    with pytest.raises(ControlError):
        await events.follow(Follower())
    for _ in range(WAITING_MAX + 1):
        events.publish("connected", "1, process 1")
        for one in others:
            await one.next()
    await events.follow(Follower())
    assert deaf.scope.cancel_called
    assert not any(one.scope.cancel_called for one in others)


async def followed(nursery: trio.Nursery) -> tuple[Events, Follower]:
    async def look() -> list[dict[str, Any]]:
        await trio.lowlevel.checkpoint()
        return []

    events, follower = Events(), Follower()
    nursery.start_soon(events.watch, look)
    with trio.fail_after(SECONDS):
        await events.follow(follower)
    return events, follower


async def test_nobody_is_asked_while_nobody_follows(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    looks = 0

    async def look() -> list[dict[str, Any]]:
        nonlocal looks
        looks += 1
        await trio.lowlevel.checkpoint()
        return []

    events, follower = Events(), Follower()
    nursery.start_soon(events.watch, look)
    await trio.sleep(100)
    assert looks == 0
    await events.follow(follower)
    await trio.sleep(100)
    assert 30 < looks < 60
    events.leave(follower)
    await trio.sleep(10)
    seen = looks
    await trio.sleep(100)
    assert looks == seen


def test_what_is_different_between_two_looks() -> None:
    quiet: dict[str, Any] = {
        "answers": True, "restarts": 1, "given_up": False, "last_reason": "x", "limits": {},
        "counters": {"out_of_memory": 3},
    }  # fmt: skip
    assert list(changes({"a": quiet}, {"a": quiet})) == []
    assert list(changes({"a": quiet}, {})) == []
    worse = quiet | {"restarts": 3, "given_up": True, "counters": {"out_of_memory": 4}}
    assert [kind for kind, _, _ in changes({"a": quiet}, {"a": worse})] == [
        "restarted",
        "given-up",
        "quota",
    ]
    silent = {"answers": False}
    assert [kind for kind, _, _ in changes({"a": quiet}, {"a": silent})] == ["silent"]
    assert [kind for kind, _, _ in changes({"a": silent}, {"a": worse})] == ["answers"]
    # One that has come in between began with nothing.
    assert [fields.get("count") for _, _, fields in changes({}, {"a": worse})] == [3, None, 4]
