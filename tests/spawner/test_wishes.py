# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a session can have of a spawner, whatever it says: one device process, and its end."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from vgpud.config.plain import to_plain
from vgpud.config.schema import Config
from vgpud.daemon.spawner import Process, start_process
from vgpud.link import rights
from vgpud.spawner.machine import FORKS_AT_ONCE, VIEWS_MAX
from vgpud.tree import codec
from vgpud.tree.links import NewLinks
from vgpud.tree.messages import (
    FROM_SPAWNER,
    GRANTS,
    AdoptSession,
    DeviceEnded,
    DeviceNotStarted,
    DeviceStarted,
    Ended,
    Forked,
    Ping,
    Pong,
    Stop,
    ViewNotStarted,
    ViewStarted,
)

from ..daemon.running import is_running, process_name, wait_until
from ..driver.waiting import readable


class Spawner:
    """A real one, whose daemon is the test."""

    def __init__(self) -> None:
        self.process: Process = start_process()
        self._lines = codec.Lines()
        self._said: list[Any] = []

    def tell(self, message: Any, *descriptors: int) -> None:
        codec.send(self.process.orders, message, descriptors)

    def says(self, kind: type[Any], seconds: float = 5.0) -> Any:
        """The next of that kind; what else it says is left out."""
        end = time.monotonic() + seconds
        while True:
            while self._said:
                if isinstance(message := self._said.pop(0), kind):
                    return message
            assert readable(self.process.reports, end - time.monotonic()), f"no {kind.__name__}"
            for line in self._lines.feed(os.read(self.process.reports, 1 << 16)):
                self._said.append(codec.decode(line, FROM_SPAWNER))

    def close(self) -> None:
        self.tell(Stop())
        assert wait_until(lambda: not is_running(self.process.pid), 2)
        os.waitpid(self.process.pid, 0)
        self.process.close()
        rights.close([self.process.reports, self.process.log])


class Session:
    """One that a spawner is told to serve: its ends of grants and wishes are the test's."""

    def __init__(self, spawner: Spawner, number: int) -> None:
        with NewLinks() as links:
            upper, lower = links.orders()
            self.grants = socket.socket(fileno=os.dup(lower))
            reading, writing = links.reports()
            self.wishes = os.dup(writing)
            null = os.open(os.devnull, os.O_WRONLY)
            links.keep_nothing()
            spawner.tell(AdoptSession(number, to_plain(Config())), upper.fileno(), reading, null)
        os.close(null)

    def wish(self, wishes: bytes) -> None:
        os.write(self.wishes, wishes)

    def granted(self) -> tuple[Any, list[int]]:
        assert readable(self.grants, 5)
        received = codec.receive(self.grants, GRANTS)
        assert received is not None
        return received

    def close(self) -> None:
        self.grants.close()
        os.close(self.wishes)


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    made = Spawner()
    yield made
    made.close()


@pytest.fixture
def session(spawner: Spawner) -> Iterator[Session]:
    made = Session(spawner, 7)
    yield made
    made.close()


def test_a_wish_is_a_device_process_and_both_are_told(spawner: Spawner, session: Session) -> None:
    session.wish(b"D")
    started, ends = session.granted()
    assert isinstance(started, DeviceStarted)
    assert len(ends) == 2
    assert spawner.says(Forked) == Forked(7, "device", started.pid)
    assert wait_until(lambda: process_name(started.pid) == "vgpud-device")
    session.wish(b"K")
    ended, _ = session.granted()
    assert ended == DeviceEnded(started.pid, 0, 9, False)
    assert spawner.says(Ended) == Ended(7, "device", started.pid, 0, 9, False)
    rights.close(ends)


def test_there_is_one_device_process_at_a_time(session: Session) -> None:
    session.wish(b"DDD")
    started, ends = session.granted()
    assert [session.granted()[0] for _ in range(2)] == [DeviceNotStarted(errno.EBUSY)] * 2
    assert is_running(started.pid)
    rights.close(ends)


def test_device_processes_without_end_are_refused(spawner: Spawner, session: Session) -> None:
    answers = []
    for _ in range(FORKS_AT_ONCE + 10):
        session.wish(b"D")
        answer, ends = session.granted()
        answers.append(answer)
        rights.close(ends)
        if isinstance(answer, DeviceStarted):
            # Closed with them was what it lives by.
            assert isinstance(session.granted()[0], DeviceEnded)
    assert DeviceNotStarted(errno.EAGAIN) in answers
    spawner.tell(Ping(1))
    assert spawner.says(Pong) == Pong(1)


def test_whatever_else_is_wished_is_an_end_at_most(spawner: Spawner, session: Session) -> None:
    session.wish(bytes(set(range(256)) - set(b"DVR")) * 16)
    spawner.tell(Ping(2))
    assert spawner.says(Pong) == Pong(2)
    session.wish(b"D")
    started, ends = session.granted()
    assert isinstance(started, DeviceStarted)
    rights.close(ends)


def test_one_that_reads_no_grants_holds_nobody_up(spawner: Spawner, session: Session) -> None:
    other = Session(spawner, 8)
    for _ in range(200):
        session.wish(b"D" * 16)
        time.sleep(0.002)
    other.wish(b"D")
    started, ends = other.granted()
    assert isinstance(started, DeviceStarted)
    rights.close(ends)
    other.close()


def test_the_end_of_its_wishes_is_the_end_of_its_device_process(spawner: Spawner) -> None:
    session = Session(spawner, 9)
    session.wish(b"D")
    started, ends = session.granted()
    session.close()
    assert wait_until(lambda: not is_running(started.pid))
    assert spawner.says(Ended).pid == started.pid
    rights.close(ends)


def test_without_its_daemon_it_goes_on_until_its_last_child_has_ended() -> None:
    spawner = Spawner()
    session = Session(spawner, 1)
    session.wish(b"D")
    started, ends = session.granted()
    spawner.process.orders.close()
    time.sleep(0.2)
    session.wish(b"K")
    assert isinstance(session.granted()[0], DeviceEnded)
    os.waitpid(spawner.process.pid, 0)
    os.close(spawner.process.pidfd)
    rights.close([*ends, spawner.process.reports, spawner.process.log])
    session.close()
    assert not is_running(started.pid)


def test_view_processes_are_few_at_a_time_and_all_end_at_a_wish(
    spawner: Spawner, session: Session
) -> None:
    session.wish(b"V" * (VIEWS_MAX + 1))
    granted = [session.granted() for _ in range(VIEWS_MAX + 1)]
    started = [message for message, _ in granted if isinstance(message, ViewStarted)]
    assert len(started) == VIEWS_MAX
    assert granted[-1][0] == ViewNotStarted(errno.EBUSY)
    # Viewers must not prevent a device process.
    session.wish(b"D")
    device, ends = session.granted()
    assert isinstance(device, DeviceStarted)
    session.wish(b"W")
    assert wait_until(lambda: not any(is_running(one.pid) for one in started), 5)
    assert is_running(device.pid)
    for _, descriptors in granted:
        rights.close(descriptors)
    rights.close(ends)


def test_a_view_process_ends_with_its_life(spawner: Spawner, session: Session) -> None:
    session.wish(b"V")
    started, (channel, life) = session.granted()
    assert wait_until(lambda: process_name(started.pid) == "vgpud-view", 5)
    os.close(life)
    assert wait_until(lambda: not is_running(started.pid), 5)
    os.close(channel)


def has_gone(process: int) -> bool:
    return not is_running(process)


def test_viewers_who_come_and_go_are_slowed_down_and_no_device_process_is(
    spawner: Spawner, session: Session
) -> None:
    refused = 0
    for _ in range(FORKS_AT_ONCE + 5):
        session.wish(b"V")
        message, descriptors = session.granted()
        rights.close(descriptors)
        if isinstance(message, ViewNotStarted):
            refused += 1
            continue
        assert wait_until(partial(has_gone, message.pid), 5)
    assert refused
    session.wish(b"D")
    device, ends = session.granted()
    assert isinstance(device, DeviceStarted)
    rights.close(ends)
