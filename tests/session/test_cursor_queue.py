# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The cursor queue's task: it wakes for kicks and for every change that may have made work."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.driver.commands import move_cursor, update_cursor
from tests.driver.display import DisplayServer
from tests.driver.memory import GuestMemory
from tests.driver.queue import Pending, Queue
from tests.native.device_end import Image
from tests.native.tables import share
from vgpud.display.presenter import Presenter
from vgpud.link.messages import QueueConfig
from vgpud.native import lib
from vgpud.session.cursor_queue import CursorQueue

F_EVENT_IDX = 1 << 29


class Rig:
    """A guest, a display and what lies between them."""

    def __init__(self) -> None:
        self.guest = GuestMemory(1 << 30)
        self.memory = lib.guest_memory_new()
        share(self.memory, self.guest.regions)
        self.state_fd = lib.session_state_create()
        self.state = lib.session_state_map(self.state_fd)
        self.presenter = Presenter()
        self.display = DisplayServer()
        self.presenter.set_display(self.display.theirs.fileno())
        self.driver = Queue(self.guest, 16, event_idx=True)
        self.queue = CursorQueue(self.memory, self.state, self.presenter.pointer, 1)
        self.broken: list[str] = []
        self.image = Image(1, 64, 64)
        self.find_image: Callable[[int], Awaitable[None]] = self._find_nothing

    async def _find_nothing(self, resource_id: int) -> None:
        await trio.lowlevel.checkpoint()

    def start(self, base: int = 0) -> None:
        ring = self.driver.ring
        config = QueueConfig(
            size=ring.size,
            features=F_EVENT_IDX,
            descriptor=self.guest.user_address(ring.descriptor),
            used=self.guest.user_address(ring.used),
            available=self.guest.user_address(ring.available),
        )
        self.queue.start(config, base, self.driver.call_fd, self.driver.err_fd)

    async def done(self, pending: Pending) -> bool:
        deadline = trio.current_time() + 2
        while (finished := self.driver.finished(pending)) is None:
            if trio.current_time() > deadline:
                break
            await trio.sleep(0.005)
        return finished is not None

    async def run(self) -> None:
        await self.queue.run(lambda resource_id: self.find_image(resource_id), self.broken.append)

    def close(self) -> None:
        self.queue.close()
        self.presenter.close()
        self.display.close()
        lib.session_state_unmap(self.state)
        lib.guest_memory_free(self.memory)
        os.close(self.state_fd)
        self.driver.close()
        self.guest.close()
        self.image.close()


@asynccontextmanager
async def at_work(*, started: bool = True) -> AsyncIterator[Rig]:
    rig = Rig()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.presenter.run, lambda reason: None)
        nursery.start_soon(rig.run)
        if started:
            rig.queue.set_kick(rig.driver.kick_fd)
            rig.start()
            rig.queue.set_enabled(True)
        await trio.testing.wait_all_tasks_blocked(0.02)
        yield rig
        nursery.cancel_scope.cancel()
    rig.close()


async def test_a_kick_is_enough() -> None:
    async with at_work() as rig:
        for x in range(20):
            assert await rig.done(rig.driver.submit(move_cursor(0, x, 0), 0))
        assert rig.driver.wait_for_call(0)


async def test_what_came_before_the_queue_was_enabled_needs_no_other_kick() -> None:
    async with at_work(started=False) as rig:
        pending = rig.driver.submit(move_cursor(0, 1, 1), 0)
        rig.start()
        rig.queue.set_kick(rig.driver.kick_fd)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert rig.driver.finished(pending) is None
        rig.queue.set_enabled(True)
        assert await rig.done(pending)


async def test_a_kick_for_a_queue_that_is_not_enabled_is_not_waited_for_again_and_again() -> None:
    async with at_work() as rig:
        rig.queue.set_enabled(False)
        rig.driver.kick()
        with trio.fail_after(2):
            await trio.testing.wait_all_tasks_blocked(0.05)


async def test_another_kick_descriptor_is_waited_for_at_once() -> None:
    async with at_work() as rig:
        other = os.eventfd(0, os.EFD_CLOEXEC)
        rig.queue.set_kick(other)
        await trio.testing.wait_all_tasks_blocked(0.02)
        pending = rig.driver.submit(move_cursor(0, 1, 1), 0, kick=False)
        os.eventfd_write(other, 1)
        assert await rig.done(pending)
        os.close(other)


async def test_a_queue_without_a_kick_is_polled() -> None:
    async with at_work() as rig:
        rig.queue.set_kick(None)
        await trio.testing.wait_all_tasks_blocked(0.0)
        assert await rig.done(rig.driver.submit(move_cursor(0, 1, 1), 0, kick=False))


async def test_it_stops_and_goes_on_where_it_was() -> None:
    async with at_work() as rig:
        for x in range(20):
            assert await rig.done(rig.driver.submit(move_cursor(0, x, 0), 0))
            rig.start(rig.queue.stop())


async def test_an_image_that_was_made_a_moment_ago_is_found() -> None:
    async with at_work() as rig:
        asked: list[int] = []

        async def find_image(resource_id: int) -> None:
            asked.append(resource_id)
            rig.queue.add_image(resource_id, 64, 64, rig.image.fd)
            await trio.lowlevel.checkpoint()

        rig.find_image = find_image
        assert await rig.done(rig.driver.submit(update_cursor(0, 1, 2, 5), 0))
        assert asked == [5]
        with trio.fail_after(2):
            while 0 not in rig.display.cursors:
                await trio.sleep(0.005)
        rig.queue.remove_image(5)
        rig.queue.remove_image(5)


async def test_an_image_that_is_not_found_is_asked_for_once() -> None:
    async with at_work() as rig:
        pending = rig.driver.submit(update_cursor(0, 1, 2, 5), 24)
        assert await rig.done(pending)
        assert rig.guest.read(pending.response[0], 4) == (0x1203).to_bytes(4, "little")


async def test_a_broken_ring_is_reported_once() -> None:
    async with at_work() as rig:
        rig.driver.ring.set_avail_idx(500)  # type: ignore[attr-defined]
        rig.driver.kick()
        with trio.fail_after(2):
            while not rig.broken:
                await trio.sleep(0.005)
        rig.driver.kick()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert rig.broken == ["the cursor queue is broken"]
        assert rig.driver.errored()


async def test_memory_that_goes_away_under_the_ring_is_an_error() -> None:
    async with at_work() as rig:
        share(rig.memory, [])
        assert rig.driver.errored()
        pending = rig.driver.submit(move_cursor(0, 1, 1), 0)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert rig.driver.finished(pending) is None


async def test_memory_that_moves_under_the_ring_changes_nothing() -> None:
    async with at_work() as rig:
        for x in range(20):
            share(rig.memory, rig.guest.regions)
            assert await rig.done(rig.driver.submit(move_cursor(0, x, 0), 0))


async def test_a_kick_that_cannot_be_waited_for_is_refused_and_the_one_before_stays() -> None:
    async with at_work() as rig:
        with Path(os.devnull).open("rb") as null, pytest.raises(OSError, match="not permitted"):
            rig.queue.set_kick(null.fileno())
        assert await rig.done(rig.driver.submit(move_cursor(0, 1, 1), 0))


async def test_a_kick_that_stays_readable_is_heard_once() -> None:
    async with at_work() as rig:
        other = os.eventfd(1 << 30, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        rig.queue.set_kick(other)
        with trio.fail_after(2):
            await trio.testing.wait_all_tasks_blocked(0.05)
        pending = rig.driver.submit(move_cursor(0, 1, 1), 0, kick=False)
        os.eventfd_write(other, 1)
        assert await rig.done(pending)
        with trio.fail_after(2):
            await trio.testing.wait_all_tasks_blocked(0.05)
        os.close(other)


async def test_a_kick_that_blocks_whoever_reads_it_holds_nobody_up() -> None:
    async with at_work() as rig:
        os.set_blocking(rig.driver.kick_fd, True)
        with trio.fail_after(2):
            for x in range(20):
                assert await rig.done(rig.driver.submit(move_cursor(0, x, 0), 0))
                # A look without a kick.
                rig.queue.set_enabled(True)
                await trio.testing.wait_all_tasks_blocked(0.001)


async def test_a_kick_that_is_taken_away_and_given_again() -> None:
    async with at_work() as rig:
        for x in range(20):
            rig.queue.set_kick(None)
            await trio.testing.wait_all_tasks_blocked(0.0)
            rig.queue.set_kick(rig.driver.kick_fd)
            assert await rig.done(rig.driver.submit(move_cursor(0, x, 0), 0))


async def test_a_kick_whose_other_end_is_closed_lets_others_run() -> None:
    async with at_work() as rig:
        ours, theirs = socket.socketpair()
        rig.queue.set_kick(theirs.fileno())
        ours.close()
        with trio.fail_after(2):
            for _ in range(20):
                await trio.sleep(0.001)
        rig.queue.set_kick(rig.driver.kick_fd)
        assert await rig.done(rig.driver.submit(move_cursor(0, 1, 1), 0))
        theirs.close()
