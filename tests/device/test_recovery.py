# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process dies under a running guest, another takes over, and the guest's screen goes on."""

import os
import random
from collections.abc import Iterator

import pytest

from vgpud.link import messages

from ..driver import commands
from ..driver.commands import Rectangle, ResponseType
from ..driver.gpu import Guest, Resource
from ..driver.memory import GuestMemory, MiB
from .images import newest_pixels
from .process import DeviceProcess

WIDTH, HEIGHT = 64, 48


class Machine:
    """A guest that keeps running while its device process is replaced.

    ``journal`` and ``images`` are what the daemon keeps: all that any of the processes has said.
    """

    def __init__(self, *, packed: bool) -> None:
        self.memory = GuestMemory(8 * MiB)
        self.guest = Guest(self.memory, packed=packed)
        self.journal: list[messages.Message] = []
        self.images: dict[int, int] = {}
        # The first process never hears from its daemon about displays, so such questions stay open.
        self.process = DeviceProcess(answer=lambda question: None)
        self.process.share(self.memory)
        self.process.start_queue(self.guest)

    def replace_process(self) -> DeviceProcess:
        """Kills the process; returns the next, with everything but the queue taken over."""
        self.process.kill()
        self.journal += self.process.told
        self.images |= {number: os.dup(image) for number, image in self.process.images.items()}
        successor = DeviceProcess(state_fd=self.process.state_fd)
        self.process.close()
        self.process = successor
        successor.share(self.memory)
        for message in self.journal:
            self._replay(message)
        return successor

    def _replay(self, message: messages.Message) -> None:
        match message:
            case messages.ResourceCreated(resource_id, format, width, height):
                adopt = messages.AdoptResource(resource_id, format, width, height)
                self.process.do(adopt, [self.images[resource_id]])
            case messages.BackingAttached(resource_id, entries):
                self.process.do(messages.AdoptBacking(resource_id, entries))
            case messages.UuidAssigned(resource_id, uuid):
                self.process.do(messages.AdoptUuid(resource_id, uuid))

    def close(self) -> None:
        self.process.close()
        for image in self.images.values():
            os.close(image)
        self.guest.close()
        self.memory.close()


@pytest.fixture(params=[False, True], ids=["split", "packed"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    made = Machine(packed=request.param)
    yield made
    made.close()


def _draw(machine: Machine, resource: Resource, seed: int) -> bytes:
    pixels = random.Random(seed).randbytes(WIDTH * HEIGHT * 4)
    machine.guest.draw(resource, resource.whole, pixels)
    machine.guest.transfer(resource)
    return pixels


def test_a_guest_draws_on_where_it_was(machine: Machine) -> None:
    guest = machine.guest
    resource = guest.create_2d(WIDTH, HEIGHT)
    pixels = _draw(machine, resource, 1)
    guest.set_scanout(0, resource)
    guest.flush(resource)
    successor = machine.replace_process()
    successor.start_queue(guest, recover=True)
    successor.do(messages.Repaint())
    # The image is the one from before, and what is drawn now is drawn there.
    image = machine.images[resource.resource_id]
    assert newest_pixels(image, WIDTH, HEIGHT) == pixels
    pixels = _draw(machine, resource, 2)
    assert newest_pixels(image, WIDTH, HEIGHT) == pixels
    guest.flush(resource, Rectangle(1, 2, 3, 4))
    guest.detach(resource)
    guest.attach(resource)
    guest.set_scanout(0, None)
    guest.unref(resource)


def test_what_was_in_flight_is_answered(machine: Machine) -> None:
    guest = machine.guest
    waiting = [
        guest.submit(commands.get_display_info(fence_id), commands.DISPLAY_INFO_SIZE)
        for fence_id in (7, 8, 9)
    ]
    machine.process.wait_for(messages.GetDisplayInfo)
    # Behind them, something was answered already.
    assert guest.ask(commands.resource_unref(5)).type == ResponseType.ERR_INVALID_RESOURCE_ID
    machine.replace_process().start_queue(guest, recover=True)
    answers = [guest.wait(pending) for pending in waiting]
    assert [answer.type for answer in answers] == [ResponseType.ERR_UNSPEC] * 3
    assert [answer.fence_id for answer in answers] == [7, 8, 9]
    # And each only once: the ring goes on as if nothing had been.
    assert guest.display_info().type == ResponseType.OK_DISPLAY_INFO


def test_what_was_not_looked_at_is_carried_out_by_the_next(machine: Machine) -> None:
    guest = machine.guest
    machine.process.do(messages.EnableQueue(False))
    create = commands.resource_create_2d(3, 1, WIDTH, HEIGHT)
    pending = [guest.submit(create), guest.submit(commands.resource_unref(3))]
    machine.replace_process().start_queue(guest, recover=True)
    assert [guest.wait(one).type for one in pending] == [ResponseType.OK_NODATA] * 2


def test_many_deaths_are_survived(machine: Machine) -> None:
    guest = machine.guest
    resource = guest.create_2d(WIDTH, HEIGHT)
    uuid = guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
    guest.set_scanout(1, resource)
    for seed in range(3):
        machine.replace_process().start_queue(guest, recover=True)
        pixels = _draw(machine, resource, seed)
        image = machine.images[resource.resource_id]
        assert newest_pixels(image, WIDTH, HEIGHT) == pixels
        again = guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
        assert again == uuid


def test_a_state_that_nobody_made_is_refused() -> None:
    state = os.memfd_create("not a state")
    with DeviceProcess(state_fd=state) as process:
        assert isinstance(process.started, messages.Failed)
    os.close(state)
