# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device's half of a virtqueue, through the commands of a driver."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.driver import commands
from tests.driver.commands import Rectangle, ResponseType, read_response
from tests.driver.memory import GuestMemory, MiB
from tests.driver.rings import PackedRing, SplitRing
from vgpud.native import ffi, lib

from .plane import Plane
from .tables import share

OK = ResponseType.OK_NODATA
ANY_RING = [
    pytest.param(
        (packed, event_idx, indirect),
        id=f"{name}{'-event_idx' * event_idx}{'-indirect' * indirect}",
    )
    for packed, name in ((False, "split"), (True, "packed"))
    for event_idx in (False, True)
    for indirect in (False, True)
]


@pytest.fixture(params=ANY_RING)
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    packed, event_idx, indirect = request.param
    made = Plane(packed=packed, event_idx=event_idx, indirect=indirect)
    assert made.start() == 0
    yield made
    made.close()


@pytest.fixture
def split() -> Iterator[Plane]:
    made = Plane(indirect=True)
    assert made.start() == 0
    yield made
    made.close()


@pytest.fixture
def packed() -> Iterator[Plane]:
    made = Plane(packed=True, indirect=True)
    assert made.start() == 0
    yield made
    made.close()


def flush(resource_id: int = 9, **header: int) -> bytes:
    """A command that the data plane answers: there is no such resource."""
    return commands.resource_flush(resource_id, Rectangle(0, 0, 0, 0), **header)


NO_RESOURCE = ResponseType.ERR_INVALID_RESOURCE_ID

# --- requests and responses


def test_many_more_commands_than_the_ring_has_places_are_answered(plane: Plane) -> None:
    for _ in range(10):
        pending = [plane.guest.submit(flush(fence_id=index)) for index in range(15)]
        plane.settle()
        answers = [read_response(*plane.guest.control.wait(each)) for each in pending]
        assert [answer.fence_id for answer in answers] == list(range(15))
        assert {answer.type for answer in answers} == {NO_RESOURCE}


def test_a_request_and_its_response_may_come_in_pieces(plane: Plane) -> None:
    memory, ring = plane.memory, plane.guest.control.ring
    request = flush(fence_id=0x1122334455667788)
    readable = [(memory.put(request[i : i + 7]), len(request[i : i + 7])) for i in range(0, 48, 7)]
    writable = [(memory.allocate(5), 5) for _ in range(6)]
    chain = ring.add(readable, writable, indirect=plane.guest.indirect)
    plane.guest.control.kick()
    plane.settle()
    used = next(used for used in ring.collect() if used.id == chain)
    answer = read_response(b"".join(memory.read(*piece) for piece in writable), used.length)
    assert used.length == 24
    assert (answer.type, answer.fence_id) == (NO_RESOURCE, 0x1122334455667788)


def test_the_fence_of_a_request_comes_back_with_its_response(plane: Plane) -> None:
    request = commands.header(
        commands.Command.RESOURCE_FLUSH, fence_id=77, ctx_id=5, ring_idx=3
    ) + bytes(24)
    for answer in (plane.guest.ask(request), plane.guest.ask(b"\x01\x09" + request[2:])):
        assert (answer.flags, answer.fence_id, answer.ctx_id, answer.ring_idx) == (3, 77, 5, 3)


def test_a_response_without_a_fence_repeats_nothing(plane: Plane) -> None:
    request = struct.pack("<IIQIB3x", commands.Command.RESOURCE_FLUSH, 0, 77, 5, 3) + bytes(24)
    answer = plane.guest.ask(request)
    assert (answer.flags, answer.fence_id, answer.ctx_id, answer.ring_idx) == (0, 0, 0, 0)


@pytest.mark.parametrize("room", [0, 1, 23, 24])
def test_a_response_is_cut_to_its_room(plane: Plane, room: int) -> None:
    for request in (flush(), commands.header(0x999)):
        pending = plane.guest.submit(request, room)
        plane.settle()
        raw, length = plane.guest.control.wait(pending)
        assert length == room
        assert len(raw) == room


def test_a_longer_response_than_the_header_reaches_the_guest(plane: Plane) -> None:
    pending = plane.guest.submit(commands.get_display_info(fence_id=9), 408)
    assert plane.run() == lib.EXIT_COMMAND
    assert plane.exit.response_length == 408
    assert plane.request() == commands.get_display_info(fence_id=9)
    data = os.urandom(384)
    assert plane.respond(plane.exit.chain, ResponseType.OK_DISPLAY_INFO, data) == 0
    plane.settle()
    answer = read_response(*plane.guest.control.wait(pending))
    assert (answer.type, answer.fence_id, answer.data) == (0x1101, 9, data)
    assert answer.length == 408


@pytest.mark.parametrize("length", [0, 1, 23])
def test_a_request_without_a_whole_header_is_an_unspecified_error(
    plane: Plane, length: int
) -> None:
    pieces = [flush()[:length]] if length else []
    pending = plane.guest.control.submit(pieces, 24, indirect=plane.guest.indirect)
    plane.settle()
    assert read_response(*plane.guest.control.wait(pending)).type == ResponseType.ERR_UNSPEC


def test_a_request_shorter_than_its_command_is_refused(plane: Plane) -> None:
    for length in (24, 47):
        assert plane.guest.ask(flush()[:length]).type == ResponseType.ERR_INVALID_PARAMETER


def test_a_request_longer_than_the_limit_is_refused_without_being_looked_at(plane: Plane) -> None:
    request = commands.header(0x999, fence_id=4) + bytes(plane.limits["request_bytes"])
    before = plane.state.counters.exits
    answer = plane.guest.ask(request)
    assert (answer.type, answer.fence_id) == (ResponseType.ERR_OUT_OF_MEMORY, 4)
    assert plane.state.counters.exits == before + 1  # the marker's


def test_an_answer_may_come_after_those_of_later_commands(plane: Plane) -> None:
    first = plane.guest.submit(commands.header(0x998, fence_id=1))
    assert plane.run() == lib.EXIT_COMMAND
    chain = plane.exit.chain
    assert plane.guest.ask(flush(fence_id=2)).fence_id == 2
    assert plane.guest.control.finished(first) is None
    assert plane.respond(chain, OK) == 0
    plane.settle()
    assert read_response(*plane.guest.control.wait(first)).fence_id == 1


def test_a_chain_can_be_answered_once(plane: Plane) -> None:
    plane.guest.submit(commands.header(0x998))
    assert plane.run() == lib.EXIT_COMMAND
    chain = plane.exit.chain
    assert plane.respond(chain, OK) == 0
    assert plane.respond(chain, OK) == -errno.ENOENT
    assert plane.respond(1 << 20, OK) == -errno.ENOENT
    assert lib.device_respond(plane.device, chain, b"short", 5) == -errno.ENOENT


def test_a_buffer_may_go_over_the_border_of_two_regions() -> None:
    memory = GuestMemory(4 * MiB)
    end = memory.regions[0].guest_address + 4 * MiB
    memory.add(end, 4 * MiB)
    plane = Plane(memory=memory)
    assert plane.start() == 0
    request = flush(fence_id=3)
    memory.write(end - 10, request[:10])
    memory.write(end, request[10:])
    chain = plane.guest.control.ring.add([(end - 10, 48)], [(end + 4096, 24)])
    plane.settle()
    assert plane.guest.control.ring.collect()[0].id == chain
    assert read_response(memory.read(end + 4096, 24), 24).fence_id == 3
    plane.close()


# --- what breaks a ring, and no more than that


def breaks(plane: Plane, error: int) -> None:
    os.eventfd_write(plane.guest.control.kick_fd, 1)
    assert plane.run() == lib.EXIT_QUEUE_BROKEN
    assert plane.exit.error == -error
    assert ffi.string(lib.queue_error_text(plane.exit.error))
    assert plane.guest.control.errored()
    # It is not looked at again; everything else goes on.
    plane.guest.submit(flush())
    os.write(plane.poke, b"x")
    assert plane.run() == lib.EXIT_LINK
    plane.stop()
    plane.guest.fresh_rings()
    assert plane.start() == 0
    assert plane.guest.ask(flush()).type == NO_RESOURCE


def split_ring(plane: Plane) -> SplitRing:
    ring = plane.guest.control.ring
    assert isinstance(ring, SplitRing)
    return ring


def packed_ring(plane: Plane) -> PackedRing:
    ring = plane.guest.control.ring
    assert isinstance(ring, PackedRing)
    return ring


NEXT, WRITE, INDIRECT = 1, 2, 4


def offer(plane: Plane, *descriptors: tuple[int, int, int, int], head: int = 0) -> None:
    """Descriptors (address, length, flags, next) from ``head`` on, and the chain that starts there."""
    ring = split_ring(plane)
    for index, descriptor in enumerate(descriptors):
        ring.write_descriptor(head + index, *descriptor)
    ring.offer(head)
    ring.publish()


def table(plane: Plane, *descriptors: tuple[int, int, int, int]) -> int:
    return plane.memory.put(b"".join(struct.pack("<QIHH", *each) for each in descriptors))


def test_an_available_index_too_far_ahead_breaks_a_split_ring(split: Plane) -> None:
    split_ring(split).set_avail_idx(65)
    breaks(split, errno.ERANGE)


def test_a_head_outside_the_table_breaks_a_split_ring(split: Plane) -> None:
    offer(split, head=64)
    breaks(split, errno.EBADSLT)


def test_a_next_outside_the_table_breaks_a_split_ring(split: Plane) -> None:
    address = split.memory.put(flush())
    offer(split, (address, 48, NEXT, 64))
    breaks(split, errno.EBADSLT)


def test_a_loop_breaks_a_split_ring(split: Plane) -> None:
    address = split.memory.put(flush())
    offer(split, (address, 48, NEXT, 1), (address, 48, NEXT, 0))
    breaks(split, errno.ELOOP)


def test_a_readable_buffer_after_a_writable_one_breaks_the_ring(split: Plane) -> None:
    address = split.memory.put(flush())
    offer(split, (address, 48, NEXT | WRITE, 1), (address, 48, 0, 0))
    breaks(split, errno.EPROTO)


@pytest.mark.parametrize("address", [0, (1 << 64) - 8, 0x10_0000 + 32 * MiB - 8])
def test_an_address_outside_memory_breaks_the_ring(split: Plane, address: int) -> None:
    offer(split, (address, 48, 0, 0))
    breaks(split, errno.EFAULT)


@pytest.mark.parametrize("length", [0, 8, 17, 24])
def test_an_indirect_table_of_a_wrong_length_breaks_the_ring(split: Plane, length: int) -> None:
    offer(split, (table(split, (0, 0, 0, 0), (0, 0, 0, 0)), length, INDIRECT, 0))
    breaks(split, errno.EBADMSG)


def test_an_indirect_table_that_is_too_long_breaks_the_ring(split: Plane) -> None:
    offer(split, (split.memory.allocate(16 * 1025), 16 * 1025, INDIRECT, 0))
    breaks(split, errno.ELOOP)


def test_an_indirect_table_inside_another_breaks_the_ring(split: Plane) -> None:
    inner = table(split, (split.memory.put(flush()), 48, 0, 0))
    offer(split, (table(split, (inner, 16, INDIRECT, 0)), 16, INDIRECT, 0))
    breaks(split, errno.EBADMSG)


def test_an_indirect_table_outside_memory_breaks_the_ring(split: Plane) -> None:
    offer(split, (8, 32, INDIRECT, 0))
    breaks(split, errno.EFAULT)


def test_an_indirect_loop_breaks_the_ring(split: Plane) -> None:
    address = split.memory.put(flush())
    offer(split, (table(split, (address, 48, NEXT, 0)), 16, INDIRECT, 0))
    breaks(split, errno.ELOOP)


def test_an_indirect_next_outside_its_table_breaks_the_ring(split: Plane) -> None:
    address = split.memory.put(flush())
    offer(split, (table(split, (address, 48, NEXT, 1)), 16, INDIRECT, 0))
    breaks(split, errno.EBADSLT)


def test_an_indirect_descriptor_that_goes_on_breaks_the_ring(split: Plane) -> None:
    inner = table(split, (split.memory.put(flush()), 48, 0, 0))
    offer(split, (inner, 16, INDIRECT | NEXT, 1), (split.memory.allocate(24), 24, WRITE, 0))
    breaks(split, errno.EBADMSG)


def test_an_indirect_table_may_follow_plain_descriptors(split: Plane) -> None:
    request, response = split.memory.put(flush(fence_id=8)), split.memory.allocate(24)
    inner = table(split, (request + 24, 24, NEXT, 1), (response, 24, WRITE, 0))
    offer(split, (request, 24, NEXT, 41), (inner, 32, INDIRECT, 0), head=40)
    os.eventfd_write(split.guest.control.kick_fd, 1)
    split.guest.control.submit(commands.header(0x999))
    assert split.run() == lib.EXIT_COMMAND
    assert read_response(split.memory.read(response, 24), 24).fence_id == 8


def test_an_indirect_descriptor_nobody_negotiated_breaks_the_ring() -> None:
    plane = Plane(indirect=False)
    assert plane.start() == 0
    inner = table(plane, (plane.memory.put(flush()), 48, 0, 0))
    offer(plane, (inner, 16, INDIRECT, 0))
    breaks(plane, errno.EBADMSG)
    plane.close()


def test_empty_buffers_count_for_nothing(split: Plane) -> None:
    request, response = split.memory.put(flush(fence_id=6)), split.memory.allocate(24)
    offer(
        split,
        (0, 0, NEXT, 41),
        (request, 48, NEXT, 42),
        (1 << 63, 0, NEXT | WRITE, 43),
        (response, 24, WRITE, 0),
        head=40,
    )
    os.eventfd_write(split.guest.control.kick_fd, 1)
    split.guest.control.submit(commands.header(0x999))
    assert split.run() == lib.EXIT_COMMAND
    assert read_response(split.memory.read(response, 24), 24).fence_id == 6


def test_a_packed_chain_without_an_end_breaks_the_ring(packed: Plane) -> None:
    ring = packed_ring(packed)
    address = packed.memory.put(flush())
    for place in range(ring.size):
        ring.write_descriptor(place, address, 48, 0, NEXT | ring.available_flags())
    breaks(packed, errno.ELOOP)


def test_a_packed_readable_buffer_after_a_writable_one_breaks_the_ring(packed: Plane) -> None:
    ring = packed_ring(packed)
    address = packed.memory.put(flush())
    ring.write_descriptor(1, address, 48, 0, ring.available_flags())
    ring.write_descriptor(0, address, 48, 0, NEXT | WRITE | ring.available_flags())
    breaks(packed, errno.EPROTO)


def test_a_packed_indirect_table_inside_another_breaks_the_ring(packed: Plane) -> None:
    ring = packed_ring(packed)
    inner = table(packed, (packed.memory.put(flush()), 48, 0, INDIRECT))
    ring.write_descriptor(0, inner, 16, 0, INDIRECT | ring.available_flags())
    breaks(packed, errno.EBADMSG)


def test_more_in_flight_than_a_packed_ring_has_places_breaks_it() -> None:
    plane = Plane(packed=True, control_size=2)
    assert plane.start() == 0
    ring = packed_ring(plane)
    address = plane.memory.put(commands.header(0x999))
    for turn in (0, 1, 0):
        flags = 0x80 if turn == 0 else 0x8000
        for place in (0, 1):
            ring.write_descriptor(place, address, 24, place, flags)
        for _ in range(2):
            reason = plane.run()
            if reason != lib.EXIT_COMMAND:
                assert (reason, plane.exit.error) == (lib.EXIT_QUEUE_BROKEN, -errno.EALREADY)
                plane.close()
                return
    pytest.fail("six chains are in flight in a ring of two")


# --- notifications


def test_no_interrupt_when_the_driver_wants_none(plane: Plane) -> None:
    plane.guest.control.ring.set_interrupts(False)
    plane.guest.submit(flush())
    plane.settle()
    assert not plane.guest.control.wait_for_call(0.0)


def test_a_burst_ends_with_an_interrupt(plane: Plane) -> None:
    for _ in range(12):
        plane.guest.submit(flush())
    plane.settle()
    assert plane.guest.control.wait_for_call(0.0)
    assert plane.guest.control.calls <= 2


def test_no_kick_is_wanted_while_the_device_works(plane: Plane) -> None:
    """While Python has a command: the device will look at the ring before it sleeps."""
    plane.guest.submit(commands.header(0x999))
    assert plane.run() == lib.EXIT_COMMAND
    plane.guest.control.ring.needs_kick()
    plane.guest.submit(flush(), 24)
    kicks = plane.guest.control.kicks
    pending = plane.guest.control.submit(flush(), 24, kick=False)
    assert not plane.guest.control.ring.needs_kick()
    assert plane.guest.control.kicks == kicks
    plane.respond(plane.exit.chain, OK)
    plane.settle()
    assert plane.guest.control.finished(pending)


def test_a_sleeping_device_wants_a_kick(plane: Plane) -> None:
    plane.settle()
    os.write(plane.poke, b"x")
    plane.guest.control.submit(flush(), kick=False)
    plane.guest.control.ring.needs_kick()
    while plane.run() != lib.EXIT_LINK:
        pass
    # Now let it go to sleep, and wake it by a kick that it asked for.
    timer = threading.Timer(0.2, plane.guest.control.submit, [commands.header(0x999)])
    timer.start()
    assert plane.run() == lib.EXIT_COMMAND
    timer.join()


# --- starting and stopping


def test_a_queue_goes_on_from_its_base(plane: Plane) -> None:
    for count in range(5):
        for _ in range(3 + count):
            assert plane.guest.ask(flush()).type == NO_RESOURCE
        base = plane.stop()
        assert base == plane.guest.control.ring.base
        assert plane.start(base) == 0


def test_stopping_answers_what_is_pending(plane: Plane) -> None:
    pending = plane.guest.submit(commands.header(0x999, fence_id=3))
    assert plane.run() == lib.EXIT_COMMAND
    plane.stop()
    answer = read_response(*plane.guest.control.wait(pending))
    assert (answer.type, answer.fence_id) == (ResponseType.ERR_UNSPEC, 3)
    assert plane.respond(plane.exit.chain, OK) == -errno.ENOENT


def test_a_queue_that_is_not_enabled_is_not_looked_at(plane: Plane) -> None:
    lib.device_queue_set_enabled(plane.device, 0)
    pending = plane.guest.submit(flush())
    os.write(plane.poke, b"x")
    assert plane.run() == lib.EXIT_LINK
    assert plane.guest.control.finished(pending) is None
    # Enabling is enough: the kick may have been long ago.
    plane.guest.submit(commands.header(0x999))
    os.eventfd_read(plane.guest.control.kick_fd)
    lib.device_queue_set_enabled(plane.device, 1)
    assert plane.run() == lib.EXIT_COMMAND
    assert plane.guest.control.finished(pending)


def test_a_ring_without_a_kick_descriptor_is_polled(plane: Plane) -> None:
    base = plane.stop()
    assert plane.start(base, kick=False) == 0
    plane.guest.control.submit(commands.header(0x999), kick=False)
    assert plane.run() == lib.EXIT_COMMAND


def test_descriptors_may_be_replaced_and_taken_away(plane: Plane) -> None:
    other = os.eventfd(0)
    assert lib.device_queue_set_fd(plane.device, lib.QUEUE_CALL, other) == 0
    plane.guest.submit(flush())
    plane.settle()
    assert os.eventfd_read(other) >= 1
    assert lib.device_queue_set_fd(plane.device, lib.QUEUE_CALL, -1) == 0
    plane.guest.submit(flush())
    plane.settle()
    assert lib.device_queue_set_fd(plane.device, 3, other) == -errno.EINVAL
    os.close(other)


def test_the_index_of_a_split_ring_wraps() -> None:
    plane = Plane(event_idx=True)
    plane.guest.control.ring = SplitRing(plane.memory, 64, event_idx=True, base=65500)
    assert plane.start(65500) == 0
    for _ in range(60):
        assert plane.guest.ask(flush()).type == NO_RESOURCE
    assert plane.stop() == (65500 + 120) % 65536
    plane.close()


@pytest.mark.parametrize("size", [3, 5, 1024])
def test_a_packed_ring_of_any_size_goes_round(size: int) -> None:
    plane = Plane(packed=True, control_size=size, indirect=True)
    assert plane.start() == 0
    for _ in range(3 * size if size < 1000 else 10):
        pending = plane.guest.control.submit(flush(), indirect=True)
        plane.guest.control.submit(commands.header(0x999), indirect=True)
        assert plane.run() == lib.EXIT_COMMAND
        assert plane.guest.control.finished(pending)
        plane.respond(plane.exit.chain, OK)
        plane.guest.control.collect()
    plane.close()


@pytest.mark.parametrize("size", [0, 3, 2048])
def test_a_split_ring_of_a_size_that_cannot_be_is_refused(split: Plane, size: int) -> None:
    split.stop()
    config = split.config()
    config.size = size
    started = lib.device_queue_start(split.device, config, 0, -1, -1, -1, 0)
    assert started == -errno.EINVAL


def test_a_ring_outside_memory_is_refused(plane: Plane) -> None:
    base = plane.stop()
    for area in ("descriptor", "available", "used"):
        config = plane.config()
        setattr(config, area, 64)
        started = lib.device_queue_start(plane.device, config, base, -1, -1, -1, 0)
        assert started == -errno.EFAULT


def test_a_ring_that_is_not_aligned_is_refused(plane: Plane) -> None:
    base = plane.stop()
    for area in ("descriptor", "available", "used"):
        config = plane.config()
        setattr(config, area, getattr(config, area) + 1)
        started = lib.device_queue_start(plane.device, config, base, -1, -1, -1, 0)
        assert started == -errno.EINVAL


def test_a_packed_base_outside_the_ring_is_refused(packed: Plane) -> None:
    packed.stop()
    for base in (64, 64 << 16):
        assert packed.start(base) == -errno.EINVAL


def test_a_queue_cannot_be_started_twice(plane: Plane) -> None:
    assert plane.start() == -errno.EBUSY


def test_rings_may_have_guest_addresses(plane: Plane) -> None:
    base = plane.stop()
    ring, config = plane.guest.control.ring, plane.config()
    config.gpa_addresses = 1
    config.descriptor, config.available, config.used = ring.descriptor, ring.available, ring.used
    queue = plane.guest.control
    started = lib.device_queue_start(
        plane.device, config, base, queue.kick_fd, queue.call_fd, queue.err_fd, 0
    )
    assert started == 0
    assert plane.guest.ask(flush()).type == NO_RESOURCE


def test_a_queue_whose_memory_went_is_broken(plane: Plane) -> None:
    share(plane.guest_memory, [])
    assert plane.run() == lib.EXIT_QUEUE_BROKEN
    assert plane.exit.error == -errno.EFAULT


def test_a_queue_whose_memory_moved_goes_on(plane: Plane) -> None:
    plane.share()
    assert plane.guest.ask(flush()).type == NO_RESOURCE


def test_the_link_is_looked_at_before_the_queue(plane: Plane) -> None:
    pending = plane.guest.submit(flush())
    os.write(plane.poke, b"x")
    assert plane.run() == lib.EXIT_LINK
    assert plane.guest.control.finished(pending) is None


def test_the_link_is_looked_at_in_the_middle_of_a_burst() -> None:
    """Whoever wants the queue to stop does not wait for the last of what is available."""
    plane = Plane(control_size=1024)
    assert plane.start() == 0
    resource = plane.guest.create_2d(512, 512)
    transfer = commands.transfer_to_host_2d(resource.resource_id, resource.whole)
    finished = []
    for attempt in range(20):
        pending = [plane.guest.control.submit(transfer, kick=False) for _ in range(400)]
        poke = threading.Timer(0.001 * (attempt + 1), os.write, (plane.poke, b"x"))
        poke.start()
        assert plane.run() == lib.EXIT_LINK
        poke.join()
        finished.append(sum(plane.guest.control.finished(each) is not None for each in pending))
        plane.settle()
        plane.guest.control.collect()
        if 0 < finished[-1] < 400:
            break
    assert 0 < finished[-1] < 400, finished
    plane.close()
