# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Clients of the control socket that say anything, in pieces, and leave without their answers, while machines come and go."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.driver.aftermath import FAILURES
from tests.driver.backend import Machine
from tests.driver.memory import GuestMemory, MiB

from .liar import Liar
from .values import BYTES, NUMBERS, SMALL, TEXTS, spoilt

COMMANDS = st.one_of(
    st.sampled_from(["status", "screen", "set-display", "log-level", "events"]), TEXTS
)
NAMES = st.sampled_from(
    ["version", "machine", "scanout", "width", "height", "level", "self", "command"]
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    SMALL,
    NUMBERS,
    st.integers(),
    st.floats(),
    TEXTS,
    st.sampled_from(["1", "2", "3", "info", "debug"]),
    st.recursive(
        st.none(), lambda parts: st.lists(parts) | st.dictionaries(TEXTS, parts), max_leaves=5
    ),
)
REQUESTS = st.builds(
    lambda command, arguments: json.dumps({"version": 1, "command": command, **arguments}).encode(),
    COMMANDS,
    st.dictionaries(st.one_of(NAMES, NAMES, TEXTS), VALUES, max_size=4),
)
PLAIN = st.builds(
    lambda command, scanout: json.dumps(
        {"version": 1, "command": command, "scanout": scanout}
    ).encode(),
    st.sampled_from(["screen", "set-display"]),
    st.integers(-1, 20),
)
LINES = spoilt(st.one_of(REQUESTS, PLAIN, st.just(b'{"version": 1, "command": "status"}')))
CLIENTS = 20
MACHINES = 3


class Control(Liar):
    """As many as the daemon lets in, and some more."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[socket.socket] = []
        self.machines: list[Machine] = []
        self.owned.callback(self.all_leave)

    def all_leave(self) -> None:
        for client in self.clients:
            client.close()
        for machine in self.machines:
            machine.close()
        self.ask("log-level", level="info")

    def client(self, which: int) -> socket.socket:
        if which < len(self.clients):
            return self.clients[which]
        if len(self.clients) == CLIENTS:
            self.clients.pop(0).close()
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(f"{self.house.socket_path}.control")
        client.setblocking(False)
        self.clients.append(client)
        return client

    @contextlib.contextmanager
    def conversation(self, which: int) -> Iterator[socket.socket]:
        """One that the daemon has hung up on is another the next time."""
        client = self.client(which)
        try:
            yield client
        except BlockingIOError:
            return
        except OSError:
            self.clients.remove(client)
            client.close()

    @rule(which=SMALL, line=LINES)
    def asks(self, which: int, line: bytes) -> None:
        with self.conversation(which) as client:
            client.send(line + b"\n")

    @rule(which=SMALL, data=BYTES)
    def says_anything(self, which: int, data: bytes) -> None:
        with self.conversation(which) as client:
            client.send(data)

    @rule(which=SMALL, line=LINES, times=st.integers(1, 50))
    def asks_much_at_once(self, which: int, line: bytes, times: int) -> None:
        with self.conversation(which) as client:
            client.send((line + b"\n") * times)

    @rule(which=SMALL, line=LINES, count=st.integers(1, 20))
    def sends_descriptors(self, which: int, line: bytes, count: int) -> None:
        reading, writing = os.pipe()
        rights = array.array("i", [reading, writing] * count)
        with self.conversation(which) as client:
            client.sendmsg([line + b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.close(reading)
        os.close(writing)

    @rule(which=SMALL)
    def reads(self, which: int) -> None:
        with self.conversation(which) as client:
            _, descriptors, _, _ = socket.recv_fds(client, 1 << 20, 16, socket.MSG_DONTWAIT)
            for descriptor in descriptors:
                os.close(descriptor)

    @rule(which=SMALL, how=st.sampled_from([socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR]))
    def says_no_more(self, which: int, how: int) -> None:
        with self.conversation(which) as client:
            client.shutdown(how)

    @rule(which=SMALL)
    def leaves(self, which: int) -> None:
        client = self.client(which)
        self.clients.remove(client)
        client.close()

    @rule()
    def a_machine_comes(self) -> None:
        if len(self.machines) == MACHINES:
            self.machines.pop(0).close()
        with contextlib.suppress(*FAILURES):
            machine = Machine(self.house.socket_path, memory=GuestMemory(MiB), headless=True)
            self.machines.append(machine)

    @rule(times=st.integers(0, 5))
    def a_machine_leaves_while_it_is_asked_about(self, times: int) -> None:
        if not self.machines:
            return
        names = [name for name in self.house.tree.machines() if name != self.house.name]
        self.machines.pop().close()
        for _ in range(times):
            self.ask("screen", timeout=0.01, machine=names[-1] if names else "2")
            self.ask("status", timeout=0.01)
