# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Kicks of a VMM that changes the flags of its eventfd, drains it, or fills it: each wakes once, none blocks."""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.driver.commands import move_cursor
from vgpud.native import ffi, lib

from .cursor_end import CursorEnd
from .plane import MARKER, Plane
from .presenting import Presenting

FULL = (1 << 64) - 2


@pytest.fixture
def plane() -> Iterator[Plane]:
    made = Plane()
    assert made.start() == 0
    yield made
    made.close()


@pytest.fixture
def cursor(presenting: Presenting) -> Iterator[CursorEnd]:
    made = CursorEnd(presenting)
    yield made
    made.close()


@contextmanager
def other_kick(value: int = 0, flags: int = 0) -> Iterator[int]:
    descriptor = os.eventfd(value, os.EFD_CLOEXEC | flags)
    yield descriptor
    os.close(descriptor)


def readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def in_time(work: Callable[[], object], release: Callable[[], object]) -> None:
    """Where it would wait for ever it is released, and has failed."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(2)
    stuck = thread.is_alive()
    if stuck:
        release()
        thread.join(2)
    assert not stuck


# --- the control queue


@contextmanager
def waiting(plane: Plane) -> Iterator[None]:
    """The device waits for kicks, until it is poked (which ``run`` reads)."""
    thread = threading.Thread(target=plane.run)
    thread.start()
    yield
    os.write(plane.poke, b"x")
    thread.join(5)
    assert not thread.is_alive()


def kicks(plane: Plane) -> int:
    return int(plane.state.counters.kicks)


def answered(plane: Plane, count: int = 1) -> None:
    """Commands that native code answers alone, one after the other."""
    for _ in range(count):
        # No such resource.
        pending = plane.guest.control.submit(flush(), kick=False)
        os.eventfd_write(plane.guest.control.kick_fd, 1)
        plane.guest.control.wait(pending)


def flush() -> bytes:
    return (0x104).to_bytes(4, "little") + bytes(44)


def test_an_eventfd_that_stays_readable_wakes_once(plane: Plane) -> None:
    with other_kick(1 << 30, os.EFD_SEMAPHORE) as kick:
        assert lib.device_queue_set_fd(plane.device, lib.QUEUE_KICK, kick) == 0
        with waiting(plane):
            time.sleep(0.1)
            pending = plane.guest.control.submit(flush(), kick=False)
            os.eventfd_write(kick, 1)
            plane.guest.control.wait(pending)
            time.sleep(0.1)
        assert kicks(plane) <= 2


def test_a_vmm_that_drains_its_eventfd_blocks_nobody(plane: Plane) -> None:
    kick = plane.guest.control.kick_fd
    os.set_blocking(kick, True)
    with waiting(plane):
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            os.eventfd_write(kick, 1)
            if readable(kick):
                os.eventfd_read(kick)
        answered(plane, 20)


def test_an_eventfd_that_is_full_wakes_once(plane: Plane) -> None:
    kick = plane.guest.control.kick_fd
    with waiting(plane):
        for number in range(3):
            pending = plane.guest.control.submit(flush(), kick=False)
            os.eventfd_write(kick, FULL)
            plane.guest.control.wait(pending)
            time.sleep(0.05)
            assert kicks(plane) <= number + 1
            # Nobody else does.
            os.eventfd_read(kick)


def test_one_kick_after_the_other_is_heard(plane: Plane) -> None:
    with waiting(plane):
        answered(plane, 300)


@pytest.mark.parametrize("recover", [False, True])
def test_what_was_kicked_before_the_start_is_done(plane: Plane, recover: bool) -> None:
    pending = plane.guest.control.submit(flush(), kick=False)
    os.eventfd_write(plane.guest.control.kick_fd, 1)
    if recover:
        plane.die()
        assert plane.start(recover=True) == 0
    else:
        assert plane.start(plane.stop()) == 0
    with waiting(plane):
        plane.guest.control.wait(pending)
        answered(plane, 3)


def test_only_the_kick_that_was_set_last_wakes(plane: Plane) -> None:
    before = plane.guest.control.kick_fd
    with other_kick() as kick:
        assert lib.device_queue_set_fd(plane.device, lib.QUEUE_KICK, kick) == 0
        with waiting(plane):
            for _ in range(10):
                os.eventfd_write(before, 1)
            time.sleep(0.05)
            assert kicks(plane) == 0
            pending = plane.guest.control.submit(flush(), kick=False)
            os.eventfd_write(kick, 1)
            plane.guest.control.wait(pending)


def test_a_kick_whose_vmm_has_closed_it_is_no_end(plane: Plane) -> None:
    with other_kick() as kick:
        assert lib.device_queue_set_fd(plane.device, lib.QUEUE_KICK, kick) == 0
    with waiting(plane):
        time.sleep(0.05)
    assert kicks(plane) <= 1
    assert lib.device_queue_set_fd(plane.device, lib.QUEUE_KICK, -1) == 0
    plane.guest.control.submit(MARKER.to_bytes(4, "little") + bytes(20), kick=False)
    assert plane.run() == lib.EXIT_COMMAND


def test_what_nobody_can_wait_for_is_refused_and_the_kick_before_stays(plane: Plane) -> None:
    with Path(os.devnull).open("rb") as null:
        result = lib.device_queue_set_fd(plane.device, lib.QUEUE_KICK, null.fileno())
    assert result == -errno.EPERM
    with waiting(plane):
        answered(plane, 3)


# --- the cursor queue


def kick_fd(cursor: CursorEnd) -> int:
    return int(lib.cursor_queue_kick_fd(cursor.cursor))


def test_a_look_without_a_kick_does_not_block(cursor: CursorEnd) -> None:
    kick = cursor.queue.kick_fd
    os.set_blocking(kick, True)
    for enabled in (1, 0):
        lib.cursor_queue_set_enabled(cursor.cursor, enabled)
        in_time(cursor.run, lambda: os.eventfd_write(kick, 1))


def test_a_cursors_kick_is_taken_once(cursor: CursorEnd) -> None:
    assert not readable(kick_fd(cursor))
    cursor.queue.kick()
    assert readable(kick_fd(cursor))
    pending = cursor.submit(move_cursor(0, 1, 1))
    assert cursor.run() == lib.CURSOR_IDLE
    assert cursor.done(pending)
    assert not readable(kick_fd(cursor))


def test_a_cursors_kick_that_stays_readable_wakes_once(cursor: CursorEnd) -> None:
    with other_kick(1 << 30, os.EFD_SEMAPHORE) as kick:
        before = kick_fd(cursor)
        assert lib.cursor_queue_set_fd(cursor.cursor, lib.QUEUE_KICK, kick) == 0
        assert kick_fd(cursor) == before
        for _ in range(3):
            assert readable(before)
            assert cursor.run() == lib.CURSOR_IDLE
            assert not readable(before)
            os.eventfd_write(kick, 1)


def test_a_cursor_queue_without_a_kick_says_so(cursor: CursorEnd) -> None:
    for _ in range(3):
        assert lib.cursor_queue_set_fd(cursor.cursor, lib.QUEUE_KICK, -1) == 0
        assert kick_fd(cursor) == -1
        assert cursor.run() == lib.CURSOR_IDLE
        kick = cursor.queue.kick_fd
        assert lib.cursor_queue_set_fd(cursor.cursor, lib.QUEUE_KICK, kick) == 0
        assert cursor.run() == lib.CURSOR_IDLE
        assert not readable(kick_fd(cursor))
        cursor.queue.kick()
        assert readable(kick_fd(cursor))
        assert cursor.run() == lib.CURSOR_IDLE


def test_a_kick_that_a_vmm_took_back_is_none(cursor: CursorEnd) -> None:
    cursor.queue.kick()
    with suppress(BlockingIOError):
        os.eventfd_read(cursor.queue.kick_fd)
    assert cursor.run() == lib.CURSOR_IDLE
    assert not readable(kick_fd(cursor))
    cursor.queue.kick()
    assert readable(kick_fd(cursor))


def test_a_cursor_that_was_never_started_has_no_kick(presenting: Presenting) -> None:
    memory, state_fd = lib.guest_memory_new(), lib.session_state_create()
    state = lib.session_state_map(state_fd)
    cursor = lib.cursor_new(memory, state, presenting.presenter, 1)
    assert lib.cursor_queue_kick_fd(cursor) == -1
    assert lib.cursor_run(cursor, ffi.new("uint32_t *")) == lib.CURSOR_IDLE
    lib.cursor_free(cursor)
    lib.session_state_unmap(state)
    lib.guest_memory_free(memory)
    os.close(state_fd)


# --- the other way


@contextmanager
def full_eventfd() -> Iterator[int]:
    """A write to it would wait."""
    descriptor = os.eventfd(0, os.EFD_CLOEXEC)
    os.eventfd_write(descriptor, FULL)
    yield descriptor
    os.close(descriptor)


def test_an_interrupt_that_is_full_already_is_not_waited_for(plane: Plane) -> None:
    with full_eventfd() as call:
        assert lib.device_queue_set_fd(plane.device, lib.QUEUE_CALL, call) == 0
        pending = plane.guest.control.submit(flush())
        in_time(plane.settle, lambda: os.eventfd_read(call))
        assert plane.guest.control.finished(pending)
        # And it is heard again when the VMM has taken what there was.
        os.eventfd_read(call)
        plane.guest.control.submit(flush())
        plane.settle()
        assert readable(call)


def test_an_error_that_is_full_already_is_not_waited_for(plane: Plane) -> None:
    with full_eventfd() as err:
        assert lib.device_queue_set_fd(plane.device, lib.QUEUE_ERR, err) == 0
        plane.guest.control.ring.set_avail_idx(1000)  # type: ignore[attr-defined]
        in_time(plane.run, lambda: os.eventfd_read(err))
        assert plane.exit.reason == lib.EXIT_QUEUE_BROKEN


def test_a_cursors_interrupt_that_is_full_already_is_not_waited_for(cursor: CursorEnd) -> None:
    with full_eventfd() as call:
        assert lib.cursor_queue_set_fd(cursor.cursor, lib.QUEUE_CALL, call) == 0
        pending = cursor.submit(move_cursor(0, 1, 1))
        in_time(cursor.run, lambda: os.eventfd_read(call))
        assert cursor.done(pending)
