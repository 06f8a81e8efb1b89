# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A front-end that breaks the rules loses its connection; the daemon and all others go on."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.frontend import Frontend, Protocol, Request, RequestRefusedError
from ..driver.memory import GuestMemory, MiB
from ..driver.protocol import DisconnectedError
from .running import daemon, devices, open_descriptors, settled_descriptors, wait_until


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with daemon() as running:
        yield running


@pytest.fixture(scope="module")
def witness(backend: Backend) -> Iterator[Machine]:
    """A machine that has done nothing wrong."""
    with Machine(backend.socket_path) as machine:
        yield machine


@pytest.fixture
def frontend(backend: Backend, witness: Machine) -> Iterator[Frontend]:
    """A machine that will.  Whatever it does, the other machine works and nothing stays open."""
    assert wait_until(lambda: len(devices(backend.process.pid)) == 1)
    before = settled_descriptors(backend.process.pid)
    frontend = Frontend.connect(backend.socket_path)
    yield frontend
    frontend.close()
    assert wait_until(lambda: open_descriptors(backend.process.pid) == before)
    assert wait_until(lambda: len(devices(backend.process.pid)) == 1)
    assert witness.guest.display_info().ok
    assert "Traceback" not in backend.log


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = os.memfd_create("file")
    os.ftruncate(descriptor, 1 << 20)
    yield descriptor
    os.close(descriptor)


def u64(value: int) -> bytes:
    return struct.pack("=Q", value)


def pair(one: int, other: int) -> bytes:
    return struct.pack("=II", one, other)


REGION = struct.pack("=4Q", 0, 4096, 0x7F0000000000, 0)

WRONG = {
    "an unknown request": (99, b"", 0),
    "a request of tomorrow": (2**32 - 1, bytes(100), 0),
    "features of 4 bytes": (Request.SET_FEATURES, bytes(4), 0),
    "features of 16 bytes": (Request.SET_FEATURES, bytes(16), 0),
    "ring 2": (Request.SET_VRING_NUM, pair(2, 64), 0),
    "ring 4294967295": (Request.SET_VRING_BASE, pair(2**32 - 1, 0), 0),
    "a ring of 0": (Request.SET_VRING_NUM, pair(0, 0), 0),
    "a ring of 2048": (Request.SET_VRING_NUM, pair(0, 2048), 0),
    "an address of a ring 2": (Request.SET_VRING_ADDR, struct.pack("=II4Q", 2, 0, 0, 0, 0, 0), 0),
    "enable ring 7": (Request.SET_VRING_ENABLE, pair(7, 1), 0),
    "enable with 2": (Request.SET_VRING_ENABLE, pair(0, 2), 0),
    "the base of ring 200": (Request.GET_VRING_BASE, pair(200, 0), 0),
    "a kick without its descriptor": (Request.SET_VRING_KICK, u64(0), 0),
    "a kick with two": (Request.SET_VRING_KICK, u64(0), 2),
    "a kick that says it has none": (Request.SET_VRING_KICK, u64(0x100), 1),
    "a kick that is a file": (Request.SET_VRING_KICK, u64(0), 1),
    "a call that is a file": (Request.SET_VRING_CALL, u64(1), 1),
    "a kick with unknown bits": (Request.SET_VRING_KICK, u64(0x1000), 1),
    "a region without memory": (Request.ADD_MEM_REG, bytes(8) + REGION, 0),
    "a region with two": (Request.ADD_MEM_REG, bytes(8) + REGION, 2),
    "a short region": (Request.ADD_MEM_REG, REGION, 1),
    "a region that nobody added": (Request.REM_MEM_REG, bytes(8) + REGION, 0),
    "a table that counts 2 and has 1": (Request.SET_MEM_TABLE, pair(2, 0) + REGION, 2),
    "a table with too few descriptors": (Request.SET_MEM_TABLE, pair(1, 0) + REGION, 0),
    "a table with too many": (Request.SET_MEM_TABLE, pair(1, 0) + REGION, 3),
    "an empty region": (Request.ADD_MEM_REG, struct.pack("=5Q", 0, 0, 0, 0, 0), 1),
    "a region beyond its file": (Request.ADD_MEM_REG, struct.pack("=5Q", 0, 0, 1 << 40, 0, 0), 1),
    "a region that wraps": (
        Request.ADD_MEM_REG,
        struct.pack("=5Q", 0, 2**64 - 4096, 8192, 0, 0),
        1,
    ),
    "configuration beyond 256": (Request.GET_CONFIG, struct.pack("=3I", 250, 20, 0) + bytes(20), 0),
    "configuration that wraps": (Request.GET_CONFIG, struct.pack("=3I", 2**32 - 1, 2, 0), 0),
    "configuration without its bytes": (Request.SET_CONFIG, struct.pack("=3I", 0, 20, 0), 0),
    "a log of nothing": (Request.SET_LOG_BASE, struct.pack("=QQ", 0, 0), 1),
    "a log beyond its file": (Request.SET_LOG_BASE, struct.pack("=QQ", 1 << 40, 0), 1),
    "a log that wraps": (Request.SET_LOG_BASE, struct.pack("=QQ", 2**64 - 1, 2**64 - 1), 1),
    "a display that is a file": (Request.GPU_SET_SOCKET, b"", 1),
    "a display without a socket": (Request.GPU_SET_SOCKET, b"", 0),
    "a channel that is a file": (Request.SET_BACKEND_REQ_FD, b"", 1),
    "a status of many bits": (Request.SET_STATUS, u64(2**40), 0),
    "253 descriptors": (Request.GET_FEATURES, b"", 253),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_a_wrong_request_ends_its_connection_alone(
    frontend: Frontend, file: int, backend: Backend, what: str
) -> None:
    request, payload, count = WRONG[what]
    lines = len(backend.log.splitlines())
    frontend.send(request, payload, [file] * count)
    assert frontend.disconnected()
    assert wait_until(lambda: "is closed" in "\n".join(backend.log.splitlines()[lines:]))
    said = [line for line in backend.log.splitlines()[lines:] if "is closed" in line]
    assert len(said) == 1


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("=3I", 1, 0, 0),
        struct.pack("=3I", 1, 1, 2**32 - 1),
        struct.pack("=3I", 1, 5, 0),
        os.urandom(4096),
    ],
    ids=["no version", "huge", "a reply", "noise"],
)
def test_what_is_no_request_ends_its_connection(frontend: Frontend, data: bytes) -> None:
    frontend.connection.send(data)
    assert frontend.disconnected()


def test_a_region_that_overlaps_is_refused_and_the_rest_goes_on(
    frontend: Frontend, file: int
) -> None:
    """One that asks for acknowledgements is told, and may go on."""
    frontend.protocol = Protocol.REPLY_ACK
    frontend.tell(Request.SET_PROTOCOL_FEATURES, u64(Protocol.REPLY_ACK))
    add = struct.pack("=5Q", 0, 0, 1 << 20, 0x7F0000000000, 0)
    frontend.tell(Request.ADD_MEM_REG, add, [file], ack=True)
    with pytest.raises(RequestRefusedError):
        frontend.tell(Request.ADD_MEM_REG, add, [file], ack=True)
    with pytest.raises(RequestRefusedError):
        frontend.tell(99, ack=True)  # nobody knows what that would be
    remove = bytes(8) + REGION
    with pytest.raises(RequestRefusedError):
        frontend.tell(Request.REM_MEM_REG, remove, ack=True)
    frontend.tell(Request.REM_MEM_REG, add, ack=True)
    frontend.tell(Request.ADD_MEM_REG, add, [file], ack=True)


def test_a_split_ring_whose_size_is_no_power_of_two_ends_the_connection(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        machine.stop()
        machine.frontend.tell(Request.SET_VRING_NUM, pair(0, 48))
        # That may have ended it, before this is sent.
        with suppress(DisconnectedError):
            machine.frontend.set_vring_fd(Request.SET_VRING_KICK, 0, machine.guest.control.kick_fd)
        assert machine.frontend.disconnected()


@pytest.mark.parametrize("request_", [Request.SET_VRING_NUM, Request.SET_VRING_BASE])
def test_a_ring_that_runs_cannot_be_moved(backend: Backend, request_: Request) -> None:
    with Machine(backend.socket_path) as machine:
        machine.frontend.tell(request_, pair(0, 64))
        assert machine.frontend.disconnected()


@pytest.mark.parametrize("queue", [0, 1])
def test_a_ring_outside_memory_is_not_worked_on_and_harms_nobody(
    backend: Backend, witness: Machine, queue: int
) -> None:
    with Machine(backend.socket_path) as machine:
        machine.stop()
        frontend, ring = machine.frontend, machine.guest.queues[queue]
        frontend.tell(Request.SET_VRING_NUM, pair(queue, 16))
        frontend.tell(Request.SET_VRING_ADDR, struct.pack("=II4Q", queue, 0, 16, 32, 48, 0))
        frontend.set_vring_fd(Request.SET_VRING_KICK, queue, ring.kick_fd, ack=True)
        frontend.set_vring_enable(queue, True)
        assert frontend.get_vring_base(queue) is not None
    assert witness.guest.display_info().ok


def test_memory_that_is_gone_ends_its_connection_alone(backend: Backend, witness: Machine) -> None:
    with Machine(backend.socket_path) as machine:
        resource = machine.guest.create_2d(64, 64)
        region = machine.memory.regions[0]
        pending = machine.guest.submit(
            commands.transfer_to_host_2d(resource.resource_id, resource.whole), 24
        )
        os.ftruncate(region.fd, 0)
        os.eventfd_write(machine.guest.control.kick_fd, 1)
        assert pending is not None
        assert machine.frontend.disconnected()
        # So that the guest of this test does not die of it.
        os.ftruncate(region.fd, region.size)
    assert witness.guest.display_info().ok


def test_memory_tables_that_change_without_end_leave_nothing_behind(
    frontend: Frontend, backend: Backend
) -> None:
    frontend.protocol = Protocol.REPLY_ACK
    frontend.tell(Request.SET_PROTOCOL_FEATURES, u64(Protocol.REPLY_ACK))
    memories = [GuestMemory(1 * MiB) for _ in range(2)]
    frontend.set_mem_table(memories[0].regions)
    before = len(settled_descriptors(backend.process.pid))
    for number in range(100):
        frontend.set_mem_table(memories[number % 2].regions)
    assert len(settled_descriptors(backend.process.pid)) == before
    for memory in memories:
        memory.close()


def test_a_frontend_that_never_reads_its_replies_is_no_one_else_s_trouble(
    frontend: Frontend, witness: Machine
) -> None:
    frontend.connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        frontend.connection.sendall(struct.pack("=3I", Request.GET_QUEUE_NUM, 1, 0) * 100_000)
    assert witness.guest.display_info().ok


def test_a_display_that_sends_nonsense_is_given_up_and_the_guest_goes_on(backend: Backend) -> None:
    with Machine(backend.socket_path, headless=True) as machine:
        ours, theirs = socket.socketpair()
        machine.frontend.set_gpu_socket(theirs)
        ours.send(os.urandom(5000))
        ours.settimeout(5)
        # A socket with nonsense that nobody has read is reset.
        with ours, suppress(ConnectionResetError):
            while ours.recv(65536):
                pass
        assert machine.guest.display_info().ok
        machine.guest.show(machine.guest.create_2d(64, 64))


def test_a_display_that_blocks_its_writer_and_is_never_read_ends_with_its_machine(
    backend: Backend, witness: Machine
) -> None:
    assert wait_until(lambda: len(devices(backend.process.pid)) == 1)
    before = settled_descriptors(backend.process.pid)
    with Machine(backend.socket_path, headless=True) as machine:
        ours, theirs = socket.socketpair()
        with ours, theirs.dup() as shared:
            machine.frontend.set_gpu_socket(theirs)
            assert wait_until(lambda: not os.get_blocking(shared.fileno()))
            os.set_blocking(shared.fileno(), True)
            resource = machine.guest.create_2d(1024, 1024)
            machine.guest.show(resource)
            machine.guest.show(resource)
            machine.close()
            assert wait_until(lambda: len(devices(backend.process.pid)) == 1)
            assert wait_until(lambda: open_descriptors(backend.process.pid) == before)
    assert witness.guest.display_info().ok
