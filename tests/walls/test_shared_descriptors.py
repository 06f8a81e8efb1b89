# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Both processes can change the flags of what both have open: no machine may stop another with
that.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from tests.driver.aftermath import House
from tests.driver.descriptors import EVENTFD_MAXIMUM, fill, fill_event, make_blocking
from tests.driver.frontend import FLAG_NEED_REPLY, VERSION, Request
from tests.driver.hostile_vmm import CONTROL, CURSOR, ENDED, MEMORY_BYTES, HostileVmm
from tests.driver.memory import PAGE, GuestMemory, Region
from tests.driver.processes import cpu_seconds, wait_until
from tests.driver.queue import NoResponseError
from tests.driver.tree import NoAnswerError, Tree

pytestmark = pytest.mark.timeout(60)

# Of one second, for a tree that has nothing to do but a witness that sleeps.
QUIET_SECONDS = 0.2


@pytest.fixture
def vmm(house: House) -> Iterator[HostileVmm]:
    """At work, and about to do something."""
    with HostileVmm(house.socket_path) as made:
        made.start()
        yield made


# --- memory


def test_a_memory_table_that_is_refused_leaves_the_cursor_s_ring_where_it_was(house: House) -> None:
    """There is room before it when it is mapped again, so that it would be at another place."""
    with house.misdeed(), HostileVmm(house.socket_path) as vmm:
        vmm.start()
        before = GuestMemory(MEMORY_BYTES, first_address=1 << 38)
        memory, room = vmm.memory.regions[0], before.regions[0]
        vmm.frontend.set_mem_table([room, memory])
        vmm.frontend.remove_region(room)
        wrong = struct.pack("=II8Q", 2, 0, *_fields(room, 0), *_fields(memory, 1 << 40))
        with contextlib.suppress(*ENDED):
            vmm.frontend.tell(Request.SET_MEM_TABLE, wrong, [room.fd, memory.fd], ack=True)
        vmm.work()
        vmm.outcome()
        vmm.work()
        before.close()


def _fields(region: Region, offset: int) -> tuple[int, int, int, int]:
    return region.guest_address, region.size, region.user_address, offset


@pytest.mark.parametrize("size", [PAGE, 1 << 30])
def test_memory_may_vanish_under_both_queues(house: House, size: int) -> None:
    with house.misdeed(), HostileVmm(house.socket_path) as vmm:
        vmm.start()
        shrinking = os.memfd_create("shrinking")
        os.ftruncate(shrinking, size)
        region = struct.pack("=5Q", 0, 1 << 41, size, 0x7C00_0000_0000, 0)
        vmm.frontend.tell(Request.ADD_MEM_REG, region, [shrinking], ack=True)
        address = struct.pack(
            "=II4Q", CURSOR, 0, *[0x7C00_0000_0000 + n * 1024 for n in range(3)], 0
        )
        with contextlib.suppress(*ENDED):
            vmm.frontend.tell(Request.SET_VRING_ADDR, address)
        os.ftruncate(shrinking, 0)
        os.close(shrinking)
        vmm.work()
        house.check()


# --- eventfds that block


@pytest.mark.parametrize("queue", [CONTROL, CURSOR], ids=["control", "cursor"])
@pytest.mark.parametrize("which", ["call", "err"])
def test_a_notification_that_cannot_be_written_keeps_nobody_waiting(
    house: House, vmm: HostileVmm, queue: int, which: str
) -> None:
    """Full, and not O_NONBLOCK any more: writing to it would last for ever."""
    with house.misdeed(all_gone=False):
        driver = vmm.guest.queues[queue]
        descriptor = driver.call_fd if which == "call" else driver.err_fd
        fill_event(descriptor)
        make_blocking(descriptor)
        vmm.work()
        if which == "err":  # what is told there is that a ring is broken
            driver.ring.set_avail_idx(5000)  # type: ignore[attr-defined]
            driver.kick()
        house.check()
    vmm.close()
    house.everyone_has_left()


def test_a_kick_that_somebody_else_reads_keeps_nobody_waiting(
    house: House, vmm: HostileVmm
) -> None:
    """Not O_NONBLOCK any more, and read away whenever somebody has been woken by it."""
    ended = threading.Event()
    thief = os.dup(vmm.guest.cursor.kick_fd)

    def steal() -> None:
        while not ended.is_set():
            os.eventfd_write(thief, 1)
            os.read(thief, 8)

    with house.misdeed(all_gone=False):
        for one in vmm.guest.queues:
            make_blocking(one.kick_fd)
        working = threading.Thread(target=steal, daemon=True)
        working.start()
        for _ in range(10):
            house.witness.check()
        house.check()
        ended.set()
        # The thief may wait itself, as the other has read before it.
        while working.is_alive():
            os.eventfd_write(thief, 1)
            working.join(0.01)
    os.close(thief)
    vmm.close()
    house.everyone_has_left()


@pytest.mark.parametrize("queue", [CONTROL, CURSOR], ids=["control", "cursor"])
def test_a_kick_that_never_came_keeps_nobody_waiting(
    house: House, vmm: HostileVmm, queue: int
) -> None:
    """Not O_NONBLOCK any more, and empty when the ring is looked at for another reason."""
    with house.misdeed(all_gone=False):
        make_blocking(vmm.guest.queues[queue].kick_fd)
        for enabled in (0, 1, 0, 1):
            vmm.message(Request.SET_VRING_ENABLE, struct.pack("=II", queue, enabled))
        vmm.message(Request.GET_QUEUE_NUM)
        vmm.outcome()
        house.check()
    vmm.close()
    house.everyone_has_left()


@pytest.mark.parametrize("queue", [CONTROL, CURSOR], ids=["control", "cursor"])
def test_a_kick_that_counts_down_one_by_one_costs_no_time(house: House, queue: int) -> None:
    """EFD_SEMAPHORE: read once it is still readable, 2^64 times."""
    with house.misdeed(), HostileVmm(house.socket_path) as vmm:
        vmm.start()
        semaphore = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        os.eventfd_write(semaphore, EVENTFD_MAXIMUM)
        vmm.frontend.set_vring_fd(Request.SET_VRING_KICK, queue, semaphore)
        vmm.work()
        os.eventfd_write(semaphore, 0)
        house.check()
        tree = house.tree.processes()
        before = cpu_seconds(tree)
        time.sleep(1)  # what is measured is what happens when nothing does
        used = cpu_seconds(tree) - before
        os.close(semaphore)
    assert used < QUIET_SECONDS


# --- sockets that block


def _draw(vmm: HostileVmm) -> None:
    """More than a socket holds; a guest whose display is stuck may be stuck."""
    with contextlib.suppress(NoResponseError, *ENDED):
        vmm.flush_frames(4)


@pytest.mark.parametrize("blocks", [False, True], ids=["non-blocking", "blocking"])
def test_a_display_that_nobody_reads_ends_with_its_machine(house: House, blocks: bool) -> None:
    with house.misdeed(), HostileVmm(house.socket_path, seconds=2) as vmm:
        vmm.start()
        if blocks:
            make_blocking(vmm.display_theirs.fileno())
        _draw(vmm)
        house.check()
        vmm.leave()
        # The display is still open here: nothing but its connection has ended.
        house.everyone_has_left()


def test_a_display_that_was_full_before_it_came_ends_with_its_machine(house: House) -> None:
    with house.misdeed(), HostileVmm(house.socket_path, seconds=2) as vmm:
        fill(vmm.display_theirs)
        with contextlib.suppress(*ENDED):
            vmm.start()
        make_blocking(vmm.display_theirs.fileno())
        vmm.work()
        house.check()
        vmm.leave()
        house.everyone_has_left()


def test_displays_that_follow_each_other_leave_nothing(house: House) -> None:
    """Each is full and blocks when the next one comes."""
    with house.misdeed(), HostileVmm(house.socket_path, seconds=2) as vmm:
        vmm.start()
        ends = []
        for _ in range(5):
            ours, theirs = socket.socketpair()
            ends.append(ours)
            copy = theirs.dup()
            ends.append(copy)
            fill(theirs)
            vmm.frontend.set_gpu_socket(theirs)
            make_blocking(copy.fileno())
            vmm.work()
        house.check()
        vmm.leave()
        house.everyone_has_left()
        for end in ends:
            end.close()


# --- its own connection, somewhere where it keeps itself alive

PLACES = ("as its display", "as its channel", "inside its display", "inside its channel")


@pytest.mark.parametrize("place", PLACES)
def test_a_vmm_that_exits_is_gone_wherever_its_connection_is(house: House, place: str) -> None:
    with house.misdeed(), HostileVmm(house.socket_path) as vmm:
        vmm.start()
        channel = vmm.frontend.backend_channel
        assert channel is not None
        if place == "as its display":
            vmm.message(Request.GPU_SET_SOCKET, b"", [vmm.own])
        elif place == "as its channel":
            flags = VERSION | FLAG_NEED_REPLY
            vmm.message(Request.SET_BACKEND_REQ_FD, b"", [vmm.own], flags)
        else:
            vmm.park_in(vmm.display if place == "inside its display" else channel)
        vmm.message(Request.GET_QUEUE_NUM)
        vmm.outcome()
        vmm.leave()
        house.everyone_has_left()


# --- the backend channel


@pytest.fixture
def headless() -> Iterator[Tree]:
    """vgpuctl's displays are for machines that have none of a VMM's."""
    with Tree("--headless") as tree:
        yield tree


def _set_display(tree: Tree, machine: str, width: int) -> str:
    answer = tree.ask("set-display", 12, machine=machine, scanout=0, width=width, height=600)
    return str(answer.get("error", ""))


def test_a_channel_that_blocks_keeps_vgpuctl_from_nobody_else(headless: Tree) -> None:
    """It is never answered, and not O_NONBLOCK any more."""
    with HostileVmm(headless.socket_path) as vmm, HostileVmm(headless.socket_path) as other:
        ours, theirs = socket.socketpair()
        for one in (vmm, other):
            one.start(with_display=False)
        vmm.frontend.tell(Request.SET_BACKEND_REQ_FD, fds=[theirs.fileno()], ack=True)
        make_blocking(theirs.fileno())
        first, second = list(headless.machines())
        asking = threading.Thread(target=_refused, args=(headless, first), daemon=True)
        asking.start()
        assert wait_until(lambda: _has_come(ours))
        make_blocking(theirs.fileno())
        threading.Timer(0.1, _answer, [other]).start()
        assert _set_display(headless, second, 900) == ""
        assert other.guest.display_info().ok
        assert len(headless.machines()) == 2
        ours.close()
        theirs.close()
        asking.join(12)
    assert headless.terminate() < float("inf")


def _refused(tree: Tree, machine: str) -> None:
    with contextlib.suppress(NoAnswerError):
        _set_display(tree, machine, 800)


def _answer(vmm: HostileVmm) -> None:
    with contextlib.suppress(OSError):
        vmm.frontend.answer_backend(vmm.frontend.backend_request())


def _has_come(end: socket.socket) -> bool:
    end.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        return bool(end.recv(1, socket.MSG_PEEK))
    return False
