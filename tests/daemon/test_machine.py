# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine as the daemon knows it: what its session says may be anything."""

import gc
import os
import signal
import socket
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from vgpud.config.plain import to_plain
from vgpud.config.schema import Config
from vgpud.control.protocol import ControlError
from vgpud.daemon import machine as machine_module
from vgpud.daemon import questions
from vgpud.daemon.log_shares import LogShares
from vgpud.daemon.machine import Machine, session_ends
from vgpud.daemon.readable import Readable
from vgpud.link import rights
from vgpud.tree import codec
from vgpud.tree.links import NewLinks
from vgpud.tree.messages import (
    DEVICE,
    TO_SESSION,
    AskReport,
    Forked,
    Hello,
    Ping,
    Pong,
    ServeClient,
    Tried,
)
from vgpud.tree.process import Ending


class Session:
    """Its process does nothing; the test has its ends."""

    def __init__(self) -> None:
        with NewLinks() as links:
            upper, lower = session_ends(links)
            orders, self.reports, self.log, self.device_log = map(os.dup, lower)
        self.orders = socket.socket(fileno=orders)
        self.readable = Readable()
        plain = to_plain(Config())
        self.machine = Machine(3, "3, ", upper, LogShares(), self.readable, plain)
        self.process = subprocess.Popen(["sleep", "60"])
        self.machine.process.note(self.process.pid)

    def say(self, data: bytes) -> None:
        os.write(self.reports, data)

    def told(self) -> object:
        received = codec.receive(self.orders, TO_SESSION)
        assert received is not None
        rights.close(received[1])
        return received[0]

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.readable.run)
            await self.machine.run()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        self.readable.close()
        self.process.kill()
        self.process.wait()  # or the machine has reaped it
        self.orders.close()
        rights.close([self.reports, self.log, self.device_log])


@pytest.fixture
def session() -> Iterator[Session]:
    before = len(list(Path("/proc/self/fd").iterdir()))
    made = Session()
    yield made
    made.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


async def killed(session: Session) -> bool:
    """Whether the machine is ended because of what it says."""
    with trio.fail_after(5):
        await session.run()
    return session.machine.ending == Ending(0, signal.SIGKILL)


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"nonsense\n",
        b"\0\xff\n",
        b'["Stop",{}]\n',
        b'["Forked",{"machine":1,"kind":"device","pid":1}]\n',
        b'["Hello",{"sender":-1,"user":1,"milliseconds":0,"name":""}]\n',
        b'["Hello",{"sender":82383546640429,"user":1,"milliseconds":0,"name":""}]\n',
        b'["Hello",{"sender":1,"user":1,"milliseconds":' + b"9" * 5000 + b',"name":""}]\n',
        b'["Hello",{"sender":1,"user":1,"milliseconds":0,"name":"\\u001b[2J"}]\n',
        b'["Tried",{"description":"\\u001b[2J"}]\n',
        codec.encode(Pong(1)) * 100,
        codec.encode(Hello(1, 1, 1, "")) * 100,
        codec.encode(Tried("x")) * 100,
    ],
    ids=lambda data: repr(data[:30]),
)
async def test_a_session_that_breaks_the_rules_is_ended(session: Session, data: bytes) -> None:
    session.say(data)
    assert await killed(session)


async def test_a_device_process_that_is_there_before_the_machine_runs_is_watched(
    session: Session,
) -> None:
    """What it was watched by is closed: the fixture counts descriptors."""
    with subprocess.Popen(["sleep", "60"]) as device:
        session.machine.note(Forked(session.machine.number, DEVICE, device.pid))
        session.process.kill()
        with trio.fail_after(5):
            await session.run()
        device.wait()  # or the machine has reaped it


async def test_a_line_without_end_is_no_line(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk() -> None:
        while True:
            try:
                os.write(session.reports, b"x" * 4096)
            except BlockingIOError:
                await trio.sleep(0.001)
            except BrokenPipeError:
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        assert await killed(session)


async def test_what_is_said_is_taken_for_what_it_is(session: Session) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        session.say(codec.encode(Hello(4711, 1000, 60_000, "")))
        while session.machine.name != "3, process 4711":
            await trio.sleep(0.01)
        assert 59 < session.machine.seconds < 70
        nursery.cancel_scope.cancel()
    session.machine.kill()


async def test_one_that_does_not_answer_is_not_waited_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        with trio.fail_after(2):
            assert await session.machine.report() is None
        assert session.told() == AskReport(1)
        # An answer that comes too late is not held against it, nor is one that comes in time to another.
        session.say(codec.encode(Pong(1)))
        with trio.fail_after(2), pytest.raises(ControlError, match="does not answer"):
            await session.machine.hand_down(session.orders.fileno(), "{}")
        assert session.told() == Ping(2)
        # Full of questions, it is still not waited for.
        with trio.fail_after(20):
            for _ in range(2000):
                try:
                    session.machine.order(Ping(0))
                except BlockingIOError:
                    break
            assert await session.machine.report() is None
        assert session.process.poll() is None
        nursery.cancel_scope.cancel()


async def test_a_question_that_could_not_be_put_allows_no_answer(session: Session) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        with suppress(BlockingIOError):
            while True:
                session.machine.order(Ping(0))
        for _ in range(100):
            assert await session.machine.report() is None
        session.say(codec.encode(Pong(1)) * 20)
        with trio.fail_after(5):
            await session.machine.ended.wait()
    assert session.machine.ending == Ending(0, signal.SIGKILL)


async def test_a_client_is_handed_down_to_one_that_answers(session: Session) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)

        async def answer() -> None:
            while True:
                try:
                    asked = session.told()
                except BlockingIOError:
                    await trio.sleep(0.01)
                    continue
                assert isinstance(asked, Ping)
                session.say(codec.encode(Pong(asked.serial)))
                return

        nursery.start_soon(answer)
        with trio.fail_after(3):
            await session.machine.hand_down(session.orders.fileno(), '{"version": 1}')
        assert session.told() == ServeClient('{"version": 1}')
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("greeted", [True, False], ids=["later", "before its first word"])
async def test_a_session_that_hangs_is_ended_after_its_vmm(
    session: Session, monkeypatch: pytest.MonkeyPatch, greeted: bool
) -> None:
    """Without a word of its own, as in the memory that the VMM's command line is in, it is the one who connected."""
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(machine_module, "ALONE_SECONDS", 0.3)
    vmm = subprocess.Popen(["sleep", "60"])
    session.machine.sender = vmm.pid
    if greeted:
        session.say(codec.encode(Hello(vmm.pid, 1000, 0, "")))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            await trio.sleep(0.6)
            assert session.process.poll() is None
            vmm.kill()
            vmm.wait()
            await session.machine.ended.wait()
    assert session.machine.ending == Ending(0, signal.SIGKILL)


async def test_a_session_that_answers_is_left_alone_after_its_vmm(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may go on with the connection."""
    monkeypatch.setattr(machine_module, "ALONE_SECONDS", 0.3)
    vmm = subprocess.Popen(["true"])
    vmm.wait()
    session.say(codec.encode(Hello(vmm.pid, 1000, 0, "")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        await trio.sleep(0.1)
        question = session.told()
        assert isinstance(question, Ping)
        session.say(codec.encode(Pong(question.serial)))
        await trio.sleep(0.6)
        assert session.process.poll() is None
        nursery.cancel_scope.cancel()
    session.machine.kill()


async def test_a_machine_that_has_left_is_freed_without_the_collector(session: Session) -> None:
    left = weakref.ref(session.machine)
    session.say(codec.encode(Hello(os.getpid(), 1000, 0, "")))
    with subprocess.Popen(["sleep", "60"]) as device:
        session.machine.note(Forked(session.machine.number, DEVICE, device.pid))
        gc.disable()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.run)
                await session.machine.greeted.wait()
                session.process.kill()
            del session.machine
            assert left() is None
        finally:
            gc.enable()
        device.wait()
