# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One front-end: what a start, a stop, a reset and a change of memory keep and what they end."""

import os
import signal
from collections.abc import Iterator

import pytest

from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.commands import ResponseType
from ..driver.frontend import QEMU_PROTOCOL, Protocol, Request
from ..driver.gpu import Resource
from ..driver.memory import GuestMemory, MiB
from .running import daemon, devices, wait_until

SIDE = 48


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with daemon() as running:
        yield running


@pytest.fixture(params=[False, True], ids=["split", "packed"])
def machine(backend: Backend, request: pytest.FixtureRequest) -> Iterator[Machine]:
    with Machine(backend.socket_path, guest={"packed": request.param}) as machine:
        yield machine
        assert machine.display.violations == []


def redraw(machine: Machine, resource: Resource) -> bytes:
    """A new picture, transferred and flushed."""
    pixels = os.urandom(resource.width * resource.height * 4)
    machine.guest.draw(resource, resource.whole, pixels)
    machine.guest.transfer(resource)
    machine.guest.flush(resource)
    return pixels


def shown(machine: Machine) -> tuple[Resource, bytes]:
    """A resource on the first scanout, and its picture."""
    resource = machine.guest.create_2d(SIDE, SIDE)
    machine.guest.set_scanout(0, resource)
    pixels = redraw(machine, resource)
    assert machine.display.wait_for_picture(0, pixels)
    return resource, pixels


# --- stop, cont, reset


def test_stop_gives_the_base_and_cont_goes_on_there(machine: Machine) -> None:
    resource, pixels = shown(machine)
    cursor = machine.guest.create_2d(64, 64)
    machine.guest.transfer(cursor)
    machine.guest.update_cursor(cursor, 3, 4)
    machine.stop()
    bases = [queue.ring.base for queue in machine.guest.queues]
    assert list(machine.frontend.bases.values()) == bases
    machine.cont()
    assert machine.display.wait_for_picture(0, pixels)
    assert machine.display.wait_for(lambda: 0 in machine.display.cursors)
    machine.guest.move_cursor(9, 9)
    assert machine.display.wait_for(lambda: machine.display.cursors[0].x == 9)
    assert machine.display.wait_for_picture(0, redraw(machine, resource))


def test_nothing_is_done_between_stop_and_cont(machine: Machine) -> None:
    shown(machine)
    machine.stop()
    control = machine.guest.control
    control.wait_for_call(0)  # a notification of what was done before
    pending = control.submit(commands.resource_unref(77))
    assert not control.wait_for_call(0.1)
    assert control.finished(pending) is None
    machine.cont()
    assert machine.guest.wait(pending).type == ResponseType.ERR_INVALID_RESOURCE_ID


def test_a_question_that_the_display_never_answers_is_answered_at_stop(machine: Machine) -> None:
    machine.display.answers = False
    pending = machine.guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
    # The queue is not held up by it.
    assert not machine.guest.ask(commands.resource_unref(77)).ok
    machine.stop()
    machine.guest.wait(pending)
    machine.cont()
    assert machine.guest.display_info().ok


@pytest.mark.parametrize("kind", ["RESET_DEVICE", "unbind"])
def test_after_a_reset_the_guest_s_numbers_are_free_again(machine: Machine, kind: str) -> None:
    first, _ = shown(machine)
    machine.guest.update_cursor(first, 1, 2)
    machine.stop()
    if kind == "RESET_DEVICE":
        machine.frontend.reset()
    machine.frontend.bases = {}
    machine.guest.fresh_rings()
    machine.frontend.driver_ok(machine.memory, machine.guest.queues, machine.new_display())
    # Nothing is shown of what was before.
    assert machine.guest.display_info().ok
    assert machine.display.pictures == {}
    assert not any(cursor.visible for cursor in machine.display.cursors.values())
    second, _ = shown(machine)
    assert second.resource_id == first.resource_id


def test_a_reset_of_a_device_that_was_never_started_is_nothing(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        machine.stop()
        for _ in range(3):
            machine.frontend.reset()
        machine.guest.fresh_rings()
        machine.cont()
        shown(machine)


# --- memory


def test_regions_come_and_go_under_running_queues(machine: Machine) -> None:
    resource, _ = shown(machine)
    more = machine.memory.add(8 << 30, 4 * MiB)
    machine.frontend.add_region(more)
    other = machine.guest.create_2d(SIDE, SIDE, backed=False)
    entries = [(machine.memory.allocate(SIDE * SIDE * 4, 4096, more), SIDE * SIDE * 4)]
    request = commands.resource_attach_backing(other.resource_id, entries)
    machine.guest.do(request)
    other.entries = entries
    machine.guest.set_scanout(0, other)
    assert machine.display.wait_for_picture(0, redraw(machine, other))
    machine.frontend.remove_region(more)
    # Its backing has gone with the region: an error, and nobody's end.
    whole = commands.transfer_to_host_2d(other.resource_id, other.whole)
    assert not machine.guest.ask(whole).ok
    machine.guest.set_scanout(0, resource)
    assert machine.display.wait_for_picture(0, redraw(machine, resource))


def test_many_regions_survive_the_death_of_a_device_process(backend: Backend) -> None:
    memory = GuestMemory(*[1 * MiB] * 40)
    with Machine(backend.socket_path, memory=memory) as machine:
        resource, _ = shown(machine)
        [process_id] = devices(backend.process.pid)
        os.kill(process_id, signal.SIGKILL)
        assert wait_until(lambda: devices(backend.process.pid) not in ([], [process_id]))
        assert machine.guest.display_info().ok
        assert machine.display.wait_for_picture(0, redraw(machine, resource))


def test_memory_by_one_table_works_as_well(backend: Backend) -> None:
    table = {"wanted_protocol": QEMU_PROTOCOL & ~Protocol.CONFIGURE_MEM_SLOTS}
    with Machine(backend.socket_path, frontend=table) as machine:
        resource, _ = shown(machine)
        # QEMU gives the whole table again at each start, and when it changes.
        machine.memory.add(4 << 30, 1 * MiB)
        machine.frontend.set_mem_table(machine.memory.regions)
        assert machine.display.wait_for_picture(0, redraw(machine, resource))
        machine.stop()
        machine.cont()
        assert machine.display.wait_for_picture(0, redraw(machine, resource))


def test_every_acknowledgement_may_be_left_out(backend: Backend) -> None:
    silent = {"wanted_protocol": QEMU_PROTOCOL & ~Protocol.REPLY_ACK}
    with Machine(backend.socket_path, frontend=silent) as machine:
        shown(machine)
        machine.stop()
        machine.cont()
        shown(machine)


# --- migration


def test_what_the_device_writes_is_in_the_log_of_a_migration(machine: Machine) -> None:
    resource, _ = shown(machine)
    machine.frontend.start_log(machine.memory, machine.guest.queues)
    machine.memory.allocate_pages(2)  # so that what follows lies in pages of its own
    pending = machine.guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
    answer = pending.response[0] // 4096 * 4096
    machine.guest.wait(pending)
    used = machine.guest.control.ring.used // 4096 * 4096
    assert {answer, used} <= machine.frontend.dirty_pages()
    # What it only reads is not in it.
    machine.guest.transfer(resource)
    assert not machine.frontend.dirty_pages() & {address for address, _ in resource.entries}
    # The cursor queue is the daemon's own, and logs as well.
    before = machine.guest.cursor.ring.used // 4096 * 4096
    machine.guest.move_cursor(3, 4)
    assert before in machine.frontend.dirty_pages()
    machine.stop()


def test_a_device_process_that_dies_during_a_migration_leaves_its_log_to_the_next(
    backend: Backend,
) -> None:
    with Machine(backend.socket_path) as machine:
        shown(machine)
        machine.frontend.start_log(machine.memory, machine.guest.queues)
        [process_id] = devices(backend.process.pid)
        os.kill(process_id, signal.SIGKILL)
        assert wait_until(lambda: devices(backend.process.pid) not in ([], [process_id]))
        pending = machine.guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
        machine.guest.wait(pending)
        assert pending.response[0] // 4096 * 4096 in machine.frontend.dirty_pages()


# --- rings


def test_without_a_kick_the_rings_are_polled(machine: Machine) -> None:
    machine.stop()
    for index, queue in enumerate(machine.guest.queues):
        machine.frontend.set_vring_fd(Request.SET_VRING_CALL, index, queue.call_fd)
        machine.frontend.bases.setdefault(index, queue.ring.base)
    for index, queue in enumerate(machine.guest.queues):
        kick, queue.kick_fd = queue.kick_fd, -1
        machine.frontend.set_up_vring(machine.memory, index, queue)
        queue.kick_fd = kick
        machine.frontend.set_vring_enable(index, True)
    machine.frontend.set_gpu_socket(machine.new_display())
    # Kicked or not: nobody listens there.
    resource, _ = shown(machine)
    machine.guest.update_cursor(resource, 5, 6)
    assert machine.display.wait_for(lambda: 0 in machine.display.cursors)


def test_a_call_that_is_replaced_is_the_one_that_is_signalled(machine: Machine) -> None:
    control = machine.guest.control
    old, control.call_fd = control.call_fd, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    machine.frontend.set_vring_fd(Request.SET_VRING_CALL, 0, control.call_fd, ack=True)
    assert machine.guest.display_info().ok
    with pytest.raises(BlockingIOError):
        os.eventfd_read(old)
    os.close(old)


def test_a_broken_ring_is_reported_and_the_other_works(machine: Machine) -> None:
    resource, _ = shown(machine)
    cursor = machine.guest.cursor
    ring = cursor.ring
    # A cursor command in memory that does not exist.
    pending = ring.add([(1 << 50, 24)], [])
    assert pending is not None
    cursor.kick()
    assert cursor.errored(5)
    assert machine.display.wait_for_picture(0, redraw(machine, resource))
    assert not machine.frontend.disconnected(0)
