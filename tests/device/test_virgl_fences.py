# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Fences that pass while the queue's thread sleeps: the library's own thread answers what waited for them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contrib.bench.prepared import PreparedQueue
from vgpud.link import messages
from vgpud.native import lib

from .. import stand_in
from ..driver import commands, commands_3d
from ..driver.commands_3d import NOP
from ..driver.gpu import Guest
from ..driver.memory import GuestMemory, MiB
from .process import LIMITS, DeviceProcess, opengl_unavailable, wait_until

CTX = 1
SLOW = 0.1
TURNS = 400
QUEUE, QUEUE_OF_MANY = 64, 256
MANY = 100  # contexts

pytestmark = pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())


class Machine:
    """A guest with a context, whose fences pass when the library of ``options`` says."""

    def __init__(
        self, folder: Path, *options: str, queue_size: int = QUEUE, event_idx: bool = False
    ) -> None:
        self.memory = GuestMemory(8 * MiB)
        self.guest = Guest(self.memory, control_size=queue_size, event_idx=event_idx)
        environment = os.environ | stand_in.fences(folder, *options)
        limits = LIMITS._replace(contexts=MANY)
        self.process = DeviceProcess("virglrenderer", limits=limits, environment=environment)
        self.process.share(self.memory)
        self.process.start_queue(self.guest)
        self.guest.do(commands_3d.ctx_create(CTX))
        self.state = lib.session_state_map(self.process.state_fd)

    def close(self) -> None:
        lib.session_state_unmap(self.state)
        self.process.close()
        self.guest.close()
        self.memory.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, f"-DMICROSECONDS={SLOW * 1e6:.0f}", "-DONE_TIME")
    yield machine
    machine.close()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, "-DMICROSECONDS=300")
    yield machine
    machine.close()


def fence(fence_id: int) -> bytes:
    return commands_3d.submit_3d(CTX, NOP, fence_id, 0)


def test_nobody_is_woken_for_an_answer(slow: Machine) -> None:
    """A wake-up for the kick, and a command: no wake-up for the fence."""
    time.sleep(SLOW)
    before, begun = slow.state.progress, time.monotonic()
    response = slow.guest.do(fence(7))
    assert response.fence_id == 7
    assert time.monotonic() - begun >= SLOW
    assert slow.state.progress - before == 2


def test_the_next_command_is_executed_as_ever(slow: Machine) -> None:
    for fence_id in (1, 2):
        assert slow.guest.do(fence(fence_id)).fence_id == fence_id
        assert slow.guest.ask(commands.resource_unref(1)).type  # there is none


def test_a_queue_that_is_stopped_gives_every_answer(slow: Machine) -> None:
    pending = [slow.guest.submit(fence(fence_id)) for fence_id in (1, 2, 3)]
    assert wait_until(lambda: slow.state.counters.commands == 1 + len(pending))
    base = slow.process.stop_queue()
    assert [slow.guest.wait(one).fence_id for one in pending] == [1, 2, 3]
    slow.process.start_queue(slow.guest, base)
    assert slow.guest.do(fence(4)).fence_id == 4


def test_a_fence_that_passes_after_its_context_is_nobodys(slow: Machine) -> None:
    pending = slow.guest.submit(fence(1))
    slow.guest.do(commands_3d.ctx_destroy(CTX))
    base = slow.process.stop_queue()
    assert slow.guest.wait(pending).fence_id == 1
    slow.process.do(messages.Reset())
    slow.process.start_queue(slow.guest, base)
    time.sleep(2 * SLOW)
    slow.guest.do(commands_3d.ctx_create(CTX))
    assert slow.guest.do(fence(2)).fence_id == 2


def test_each_is_answered_once_however_the_threads_meet(quick: Machine) -> None:
    """Some pass before the call that made them has returned, and some while the queue's thread sleeps, wakes up or works."""
    guest = quick.guest
    for turn in range(TURNS):
        fence_ids = range(1, 2 + turn % (QUEUE // 4))
        pending = [guest.submit(fence(fence_id)) for fence_id in fence_ids]
        assert [guest.wait(one).fence_id for one in pending] == list(fence_ids)


def test_an_answer_goes_where_guest_memory_is_by_then(slow: Machine) -> None:
    pending = slow.guest.submit(fence(1))
    slow.process.share(slow.memory)
    assert slow.guest.wait(pending).fence_id == 1
    assert slow.guest.do(fence(2)).fence_id == 2


def test_memory_that_is_gone_by_then_ends_nothing_else(slow: Machine) -> None:
    slow.guest.submit(fence(1))
    assert wait_until(lambda: slow.state.counters.commands == 2)
    time.sleep(SLOW / 4)
    for region in slow.memory.regions:
        os.ftruncate(region.fd, 0)
    slow.process.wait_for(messages.MemoryFault)
    assert isinstance(slow.process.request(messages.Ping()), messages.Pong)


def test_a_driver_that_sends_one_after_the_other_need_not_kick(tmp_path: Path) -> None:
    """With event indices too, where the device has asked for exactly the kick that it is woken without.  Not each time: when the
    device has waited in vain, it lets itself be kicked for a while."""
    machine = Machine(tmp_path, "-DMICROSECONDS=100", "-DONE_TIME", event_idx=True)
    queue = PreparedQueue(machine.guest.control, [fence(1)])

    def some_without() -> bool:
        before = int(machine.state.counters.kicks)
        for _ in range(TURNS):
            queue.offer(0)
            queue.wait()
        return int(machine.state.counters.kicks) - before < TURNS - 1

    try:
        assert wait_until(some_without)
    finally:
        queue.release()
        machine.close()


def test_each_of_a_hundred_contexts_gets_its_own(tmp_path: Path) -> None:
    """Each has a timeline, whose fences pass while the queue's thread works and while it sleeps."""
    machine = Machine(tmp_path, "-DMICROSECONDS=300", queue_size=QUEUE_OF_MANY)
    guest, contexts = machine.guest, range(1, MANY + 1)
    for ctx_id in contexts[1:]:
        guest.do(commands_3d.ctx_create(ctx_id))
    try:
        for turn in range(TURNS // 10):
            pending = [
                guest.submit(commands_3d.submit_3d(ctx_id, NOP, 1000 * turn + ctx_id, 0))
                for ctx_id in contexts
            ]
            answered = [guest.wait(one).fence_id for one in pending]
            assert answered == [1000 * turn + ctx_id for ctx_id in contexts]
    finally:
        machine.close()
