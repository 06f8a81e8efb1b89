# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process that dies, and the next one that goes on from the session's state."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.driver import commands
from tests.driver.commands import Rectangle, ResponseType, read_response
from tests.driver.queue import Pending
from vgpud.native import ffi, lib

from .plane import Plane

NO_RESOURCE = ResponseType.ERR_INVALID_RESOURCE_ID


@pytest.fixture(params=[False, True], ids=["split", "packed"])
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    made = Plane(packed=request.param, event_idx=True)
    assert made.start() == 0
    yield made
    made.close()


def flush(fence_id: int | None = None) -> bytes:
    return commands.resource_flush(9, Rectangle(0, 0, 0, 0), fence_id=fence_id)


def begin(plane: Plane, fence_id: int) -> Pending:
    """A command that Python has and does not answer."""
    pending = plane.guest.submit(commands.header(0x999, fence_id=fence_id))
    assert plane.run() == lib.EXIT_COMMAND
    return pending


def queue_state(plane: Plane) -> ffi.CData:
    return plane.state.queues[0]


def test_what_was_in_flight_is_answered_in_its_order(plane: Plane) -> None:
    plane.guest.ask(flush())
    pending = [begin(plane, fence_id) for fence_id in (5, 6, 7)]
    plane.die()
    assert plane.start(recover=True) == 0
    order = [used.id for used in plane.guest.control.ring.collect()]
    assert order == [each.id for each in pending]
    for each, fence_id in zip(pending, (5, 6, 7), strict=True):
        answer = read_response(plane.memory.read(*each.response), 24)
        assert (answer.type, answer.fence_id) == (ResponseType.ERR_UNSPEC, fence_id)


def test_the_guest_is_told(plane: Plane) -> None:
    pending = begin(plane, 1)
    while plane.guest.control.wait_for_call(0.0):
        pass
    plane.die()
    assert plane.start(recover=True) == 0
    plane.settle()
    assert plane.guest.control.wait_for_call(0.0)
    assert plane.guest.control.finished(pending)


def test_the_queue_goes_on_where_it_was(plane: Plane) -> None:
    for turn in range(8):
        for _ in range(9):
            assert plane.guest.ask(flush(turn)).type == NO_RESOURCE
        begin(plane, 1)
        unseen = plane.guest.submit(flush(99))
        plane.die()
        assert plane.start(recover=True) == 0
        plane.settle()
        assert read_response(*plane.guest.control.wait(unseen)).fence_id == 99
    assert plane.stop() == plane.guest.control.ring.base


def test_answers_given_out_of_order_leave_the_rest_in_flight(plane: Plane) -> None:
    """In a packed ring the used element of the second lies where the first one's descriptors were."""
    first = begin(plane, 1)
    second = plane.guest.submit(commands.header(0x999, fence_id=2))
    assert plane.run() == lib.EXIT_COMMAND
    assert plane.respond(plane.exit.chain, ResponseType.OK_NODATA) == 0
    plane.die()
    assert plane.start(recover=True) == 0
    used = [used.id for used in plane.guest.control.ring.collect()]
    assert used == [second.id, first.id]
    assert read_response(plane.memory.read(*first.response), 24).fence_id == 1
    assert plane.guest.ask(flush()).type == NO_RESOURCE


def test_a_death_after_the_driver_saw_the_answer_answers_no_second_time(plane: Plane) -> None:
    plane.guest.ask(flush())
    pending = begin(plane, 4)
    state, chain = queue_state(plane), plane.exit.chain
    used_before = state.used
    assert plane.respond(chain, ResponseType.OK_NODATA) == 0
    # As it was right after the used element became visible: nothing written down but the intention.
    state.chains[chain].in_flight = 1
    state.completing = chain + 1
    state.used = used_before
    plane.die()
    assert plane.start(recover=True) == 0
    assert [used.id for used in plane.guest.control.ring.collect()] == [pending.id]
    assert plane.guest.ask(flush(6)).fence_id == 6


def test_a_death_before_the_driver_saw_the_answer_answers_once(plane: Plane) -> None:
    plane.guest.ask(flush())
    pending = begin(plane, 3)
    queue_state(plane).completing = plane.exit.chain + 1
    plane.die()
    assert plane.start(recover=True) == 0
    assert [used.id for used in plane.guest.control.ring.collect()] == [pending.id]


def test_a_chain_that_was_not_quite_taken_is_taken_again(plane: Plane) -> None:
    state = queue_state(plane)
    before = state.available
    pending = begin(plane, 3)
    state.available = before
    plane.die()
    assert plane.start(recover=True) == 0
    assert plane.guest.control.ring.collect() == []
    assert plane.run() == lib.EXIT_COMMAND
    assert plane.respond(plane.exit.chain, ResponseType.OK_NODATA) == 0
    plane.settle()
    answer = read_response(*plane.guest.control.wait(pending))
    assert (answer.type, answer.fence_id) == (ResponseType.OK_NODATA, 3)


@pytest.mark.parametrize("seed", range(40))
def test_a_state_full_of_noise_is_survived(plane: Plane, seed: int) -> None:
    """A process that went mad may have written anything: the queue starts or is refused, nothing worse."""
    begin(plane, 1)
    chance = random.Random(seed)
    size = ffi.sizeof("struct queue_state")
    buffer = ffi.buffer(ffi.addressof(plane.state.queues[0]), size)
    if seed % 2:
        buffer[:] = chance.randbytes(size)
    else:
        for _ in range(200):
            buffer[chance.randrange(400)] = bytes([chance.getrandbits(8)])
    ffi.buffer(plane.state.scanouts)[:] = chance.randbytes(ffi.sizeof(plane.state.scanouts))
    plane.die()
    if plane.start(recover=True) == 0:
        os.write(plane.poke, b"x")
        assert plane.run() in (lib.EXIT_LINK, lib.EXIT_QUEUE_BROKEN)
        plane.stop()
    plane.guest.fresh_rings()
    assert plane.start() == 0
    assert plane.guest.ask(flush()).type == NO_RESOURCE


def test_scanouts_and_images_are_taken_over(plane: Plane) -> None:
    resource = plane.guest.create_2d(512, 256)
    plane.guest.fill(resource, b"abcd")
    plane.guest.transfer(resource)
    plane.guest.set_scanout(1, resource, Rectangle(10, 20, 300, 200))
    image = os.dup(lib.resource_image_fd(plane.device, 1))
    plane.die()
    adopted = lib.resource_adopt_2d(plane.device, 1, resource.format, 512, 256, image)
    assert adopted == 0
    os.close(image)
    assert plane.start(recover=True) == 0
    lib.device_repaint(plane.device)
    (record,) = plane.shown()
    assert (record.scanout_id, record.source_x, record.source_y) == (1, 10, 20)
    assert plane.pixels(record) == b"abcd" * (300 * 200)


def test_scanouts_come_back_without_a_queue_that_recovers(plane: Plane) -> None:
    """The machine is stopped while its device process dies, and goes on later."""
    resource = plane.guest.create_2d(64, 64)
    plane.guest.set_scanout(0, resource)
    image = os.dup(lib.resource_image_fd(plane.device, 1))
    base = plane.stop()
    plane.die()
    assert lib.resource_adopt_2d(plane.device, 1, resource.format, 64, 64, image) == 0
    os.close(image)
    assert plane.start(base) == 0
    plane.guest.flush(resource)
    assert len(plane.shown()) == 1


def test_a_scanout_whose_resource_was_lost_is_disabled(plane: Plane) -> None:
    resource = plane.guest.create_2d(64, 64)
    plane.guest.set_scanout(1, resource)
    plane.die()
    assert plane.start(recover=True) == 0
    assert plane.state.scanouts[1].resource_id == 0


@pytest.mark.parametrize(("width", "height"), [(256, 256), (512, 257), (512, 128)])
def test_an_image_of_another_size_is_not_taken_over(width: int, height: int) -> None:
    plane = Plane()
    assert plane.start() == 0
    plane.guest.create_2d(512, 256)
    image = lib.resource_image_fd(plane.device, 1)
    assert lib.resource_adopt_2d(plane.device, 2, 1, width, height, image) < 0
    plain = os.memfd_create("plain")
    os.ftruncate(plain, os.fstat(image).st_size)
    assert lib.resource_adopt_2d(plane.device, 2, 1, 512, 256, plain) < 0
    os.close(plain)
    plane.close()


def test_what_is_no_session_state_is_not_mapped() -> None:
    plain = os.memfd_create("plain", os.MFD_ALLOW_SEALING)
    os.ftruncate(plain, ffi.sizeof("struct session_state"))
    assert lib.session_state_map(plain) == ffi.NULL
    os.close(plain)
