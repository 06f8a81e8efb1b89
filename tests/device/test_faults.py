# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What goes wrong underneath a device process, and that it lives on: rings, memory, descriptors."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud.link import messages

from ..driver import commands
from ..driver.commands import Format, ResponseType
from ..driver.gpu import Guest
from ..driver.memory import GuestMemory, MiB
from ..driver.rings import SplitRing
from .process import DeviceProcess, region_of, wait_until


class Machine:
    """A device process with a guest on its queue."""

    def __init__(self) -> None:
        # The rings, and everything that the driver allocates, are in the first region.
        self.memory = GuestMemory(4 * MiB, 4 * MiB)
        self.guest = Guest(self.memory)
        self.process = DeviceProcess()
        self.process.share(self.memory)
        self.process.start_queue(self.guest)

    def close(self) -> None:
        self.process.close()
        self.guest.close()
        self.memory.close()

    def lives(self) -> bool:
        return isinstance(self.process.request(messages.Ping()), messages.Pong)


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


def test_a_broken_ring_is_reported_and_can_be_started_anew(machine: Machine) -> None:
    ring = machine.guest.control.ring
    assert isinstance(ring, SplitRing)
    ring.set_avail_idx(ring.avail_idx + ring.size + 1)
    machine.guest.control.kick()
    assert machine.process.wait_for(messages.QueueBroken).reason
    assert machine.guest.control.errored(timeout=1)
    assert machine.lives()
    machine.process.stop_queue()
    machine.guest.fresh_rings()
    machine.process.start_queue(machine.guest)
    assert machine.guest.display_info().type == ResponseType.OK_DISPLAY_INFO


def test_a_question_that_was_open_when_the_ring_broke_is_forgotten() -> None:
    machine = Machine()
    machine.process._answer = lambda question: None
    machine.guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
    question = machine.process.wait_for(messages.GetDisplayInfo)
    ring = machine.guest.control.ring
    assert isinstance(ring, SplitRing)
    ring.set_avail_idx(ring.avail_idx + ring.size + 1)
    machine.guest.control.kick()
    machine.process.wait_for(messages.QueueBroken)
    machine.process.link.send(messages.Answer(question.request, 0, b""))
    assert machine.lives()
    machine.close()


def test_memory_that_shrinks_is_reported_and_ends_nothing_else(machine: Machine) -> None:
    for region in machine.memory.regions:
        os.ftruncate(region.fd, 0)
    machine.guest.control.kick()
    machine.process.wait_for(messages.MemoryFault)
    assert machine.lives()


def test_backing_whose_memory_goes_is_detached(machine: Machine) -> None:
    guest, (_, second) = machine.guest, machine.memory.regions
    resource = guest.create_2d(32, 32, backed=False)
    pages = [machine.memory.allocate(4096, 4096, second)]
    entries = [(page, 4096) for page in pages]
    guest.do(commands.resource_attach_backing(resource.resource_id, entries))
    machine.process.do(messages.RemoveMemory(region_of(second)))
    assert wait_until(lambda: any("1 backing" in line for line in machine.process.logged()))
    transfer = commands.transfer_to_host_2d(resource.resource_id, resource.whole)
    assert guest.ask(transfer).type == ResponseType.ERR_UNSPEC
    # It comes back, the guest attaches again, and draws.
    machine.process.do(messages.AddMemory(region_of(second)), [second.fd])
    guest.do(commands.resource_attach_backing(resource.resource_id, entries))
    guest.do(transfer)


def test_memory_comes_while_the_queue_runs(machine: Machine) -> None:
    region = machine.memory.add(1 << 40, 2 * MiB)
    resource = machine.guest.create_2d(32, 32, backed=False)
    entries = [(machine.memory.allocate(4096, 4096, region), 4096)]
    attach = commands.resource_attach_backing(resource.resource_id, entries)
    assert machine.guest.ask(attach).type == ResponseType.ERR_UNSPEC
    machine.process.do(messages.AddMemory(region_of(region)), [region.fd])
    machine.guest.do(attach)
    machine.guest.transfer(resource)


def test_the_same_region_twice_is_refused(machine: Machine) -> None:
    region = machine.memory.regions[0]
    reply = machine.process.request(messages.AddMemory(region_of(region)), [region.fd])
    assert isinstance(reply, messages.Refused)
    assert machine.guest.display_info().type == ResponseType.OK_DISPLAY_INFO


def test_descriptors_are_given_back(machine: Machine) -> None:
    folder = Path(f"/proc/{machine.process.process.pid}/fd")

    def cycle() -> None:
        region = machine.memory.add(1 << 40, 2 * MiB)
        machine.process.do(messages.AddMemory(region_of(region)), [region.fd])
        resource = machine.guest.create_2d(16, 16, Format.R8G8B8A8_UNORM)
        machine.guest.show(resource)
        machine.guest.unref(resource)
        machine.process.do(messages.RemoveMemory(region_of(region)))
        machine.memory.remove(region)
        call = machine.guest.control.call_fd
        machine.process.do(messages.SetQueueDescriptor("call", True), [call])

    def descriptors() -> int:
        # A message's are closed when it has been answered: before the answer to the next.
        assert machine.lives()
        return len(list(folder.iterdir()))

    cycle()
    before = descriptors()
    for _ in range(20):
        cycle()
    assert descriptors() == before


def test_nothing_is_done_while_the_queue_is_disabled(machine: Machine) -> None:
    guest, process = machine.guest, machine.process
    process.do(messages.EnableQueue(False))
    pending = guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
    assert not guest.control.wait_for_call(0.1)
    # Enabled without another kick: what waits is still found.
    process.do(messages.EnableQueue(True))
    assert guest.wait(pending).type == ResponseType.OK_DISPLAY_INFO


def test_a_stopped_queue_goes_on_from_its_base(machine: Machine) -> None:
    guest, process = machine.guest, machine.process
    for _ in range(5):
        guest.display_info()
    base = process.stop_queue()
    assert base == 5
    pending = guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
    process.start_queue(guest, base)
    assert guest.wait(pending).type == ResponseType.OK_DISPLAY_INFO


def test_stopping_answers_what_is_open(machine: Machine) -> None:
    machine.process._answer = lambda question: None
    pending = machine.guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
    question = machine.process.wait_for(messages.GetDisplayInfo)
    assert machine.process.stop_queue() == 1
    assert machine.guest.wait(pending).type == ResponseType.ERR_UNSPEC
    # The answer that comes too late is nobody's.
    machine.process.link.send(messages.Answer(question.request, 0, b""))
    assert machine.lives()
