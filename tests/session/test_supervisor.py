# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process that hangs or cannot start, and what it is started with."""

import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import pytest
import trio
from loguru import logger

from vgpud.config.schema import Config, DeviceProcess
from vgpud.errors import RendererError
from vgpud.session import supervisor
from vgpud.session.reports import Reports
from vgpud.session.restarts import Restarts
from vgpud.session.session import serve_frontend
from vgpud.session.start_up import Parts

from ..daemon.running import children, wait_until
from ..driver.display import DisplayServer
from ..driver.frontend import Frontend
from ..driver.gpu import Guest, Resource
from ..driver.memory import GuestMemory, MiB
from .executed import ExecutedDevices


class Running(NamedTuple):
    """A session in this process; ``log`` has its lines.  What blocks belongs into a thread."""

    guest: Guest
    frontend: Frontend
    display: DisplayServer
    log: list[str]


async def in_thread(work: Callable[[], object]) -> None:
    assert await trio.to_thread.run_sync(work) is not False


@pytest.fixture
def devices(request: pytest.FixtureRequest) -> ExecutedDevices:
    """Ordinary ones, or those that a test names."""
    chosen: ExecutedDevices = getattr(request, "param", ExecutedDevices())
    return chosen


@pytest.fixture
async def running(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, devices: ExecutedDevices
) -> AsyncIterator[Running]:
    """Less patient than others."""
    monkeypatch.setattr(supervisor, "ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.1)
    log: list[str] = []
    handler = logger.add(lambda line: log.append(str(line)), format="{message}")
    ours, theirs = socket.socketpair()
    nursery.start_soon(serve_frontend, trio.socket.from_stdlib_socket(theirs), Config(), devices)
    with ExitStack() as owned:
        owned.callback(logger.remove, handler)
        memory, display = GuestMemory(16 * MiB), DisplayServer()
        owned.callback(memory.close)
        guest, frontend = Guest(memory), Frontend(ours)
        for closing in (guest.close, display.close, frontend.close):
            owned.callback(closing)
        await in_thread(lambda: frontend.start(memory, guest.queues, display.theirs))
        yield Running(guest, frontend, display, log)
        frontend.close()
        await in_thread(lambda: wait_until(lambda: not children(os.getpid())))


async def test_a_process_that_does_not_answer_is_replaced(running: Running) -> None:
    [process_id] = children(os.getpid())
    os.kill(process_id, signal.SIGSTOP)
    # The whole machine of a VMM waits for this answer.
    await in_thread(running.frontend.stop)
    assert children(os.getpid()) != [process_id]
    assert any(f"{process_id} does not answer" in line for line in running.log)


async def test_a_process_that_goes_no_further_is_noticed(running: Running) -> None:
    [process_id] = children(os.getpid())
    await in_thread(running.guest.display_info)  # all that came before has been answered
    os.kill(process_id, signal.SIGSTOP)
    await in_thread(lambda: wait_until(lambda: children(os.getpid()) not in ([process_id], [])))
    assert any("does not answer Ping" in line for line in running.log)
    await in_thread(running.guest.display_info)


async def test_a_process_that_waits_for_work_is_left_in_peace(running: Running) -> None:
    [process_id] = children(os.getpid())
    await trio.sleep(0.5)
    assert children(os.getpid()) == [process_id]
    assert not any("does not answer" in line for line in running.log)


def draw_and_lose(
    running: Running, number: signal.Signals = signal.SIGKILL
) -> tuple[Resource, bytes]:
    """A resource that was drawn, and hidden by another, which is shown when the process has gone by that signal."""
    guest = running.guest
    hidden, seen = guest.create_2d(128, 128), guest.create_2d(128, 128)
    pictures = []
    for resource in (hidden, seen):
        pictures.append(os.urandom(resource.size))
        guest.draw(resource, resource.whole, pictures[-1])
        guest.show(resource)
        assert running.display.wait_for_picture(0, pictures[-1])
    [process_id] = children(os.getpid())
    os.kill(process_id, number)
    assert wait_until(lambda: children(os.getpid()) not in ([process_id], []))
    guest.display_info()
    guest.flush(seen)
    assert running.display.wait_for_picture(0, pictures[1])
    return hidden, pictures[0]


def show_again(running: Running, resource: Resource, picture: bytes) -> bool:
    running.guest.set_scanout(0, resource)
    running.guest.flush(resource)
    return running.display.wait_for_picture(0, picture)


async def test_what_is_not_shown_outlives_a_process_that_was_killed(running: Running) -> None:
    hidden, picture = await trio.to_thread.run_sync(draw_and_lose, running)
    await in_thread(lambda: show_again(running, hidden, picture))


@pytest.mark.parametrize("devices", [ExecutedDevices(out_of_memory=True)], indirect=True)
async def test_a_process_killed_for_want_of_memory_leaves_black_what_is_not_shown(
    running: Running,
) -> None:
    hidden, _ = await trio.to_thread.run_sync(draw_and_lose, running)
    assert any("1 images that are not shown are black" in line for line in running.log)
    await in_thread(lambda: show_again(running, hidden, bytes(hidden.size)))


@pytest.mark.parametrize("devices", [ExecutedDevices(out_of_memory=True)], indirect=True)
async def test_who_hangs_when_memory_runs_out_elsewhere_loses_no_picture(running: Running) -> None:
    lose = partial(draw_and_lose, running, signal.SIGSTOP)
    hidden, picture = await trio.to_thread.run_sync(lose)
    assert not any("are black" in line for line in running.log)
    await in_thread(lambda: show_again(running, hidden, picture))


async def test_a_process_that_cannot_be_brought_up_is_tried_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_thread(running.guest.display_info)
    start, failures = Parts.start, 2

    def lacking(parts: Parts, vulkan: bool) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return start(parts, vulkan)

    monkeypatch.setattr(Parts, "start", lacking)
    [process_id] = children(os.getpid())
    os.kill(process_id, signal.SIGKILL)
    await in_thread(running.guest.display_info)
    assert failures == 0
    assert len([line for line in running.log if "Too many open files" in line]) == 2


async def test_what_fails_while_a_process_works_costs_that_process_only(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The front-end is answered meanwhile, and the next process takes over."""
    await in_thread(running.guest.display_info)
    [first] = children(os.getpid())
    os.kill(first, signal.SIGKILL)
    await in_thread(lambda: wait_until(lambda: children(os.getpid()) not in ([first], [])))
    await in_thread(running.guest.display_info)
    [second] = children(os.getpid())
    ask = Reports._ask

    def lacking(self: Reports, *question: Any) -> None:
        monkeypatch.setattr(Reports, "_ask", ask)
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(Reports, "_ask", lacking)
    await in_thread(running.guest.display_info)
    assert any("no device process: [Errno 12]" in line for line in running.log)
    await in_thread(running.frontend.stop)
    assert children(os.getpid()) not in ([first], [second])


async def test_a_renderer_that_cannot_be_had_ends_the_session_with_its_reason() -> None:
    ours, theirs = socket.socketpair()
    unusable = ExecutedDevices(environment={"PYTHONHOME": "/nowhere"})
    with ours, pytest.raises(RendererError, match="ended with status 1"):
        await serve_frontend(trio.socket.from_stdlib_socket(theirs), Config(), unusable)


def test_the_first_restart_is_immediate_and_the_others_wait_ever_longer() -> None:
    now = 0.0
    restarts = Restarts(DeviceProcess(4, 60.0, 0.1), clock=lambda: now)
    assert [restarts.delay() for _ in range(5)] == [0.0, 0.1, 0.2, 0.4, None]
    now = 61.0
    assert restarts.delay() == 0.0


def test_no_restart_at_all_can_be_configured() -> None:
    assert Restarts(DeviceProcess(restarts=0)).delay() is None
