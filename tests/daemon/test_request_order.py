# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Requests in any order at all: each is answered or ends the connection, and nobody else notices."""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.display import DisplayServer
from ..driver.frontend import Feature, Frontend, Request, RequestRefusedError
from ..driver.gpu import Guest
from ..driver.memory import GuestMemory, MiB, OutOfGuestMemoryError
from ..driver.protocol import DisconnectedError
from ..driver.rings import RingFullError
from .running import daemon

QUEUES = st.integers(0, 1)
OFTEN_A_QUEUE = st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 255])
SIZES = st.sampled_from([64, 64, 16, 16, 1024, 48, 1, 0, 2048, 2**32 - 1])
BASES = st.sampled_from([0, 0, 1, 64, 0xFFFF, 0x80008000, 2**32 - 1])
FEATURES = st.sampled_from(
    [
        Feature.VERSION_1 | Feature.PROTOCOL_FEATURES,
        Feature.VERSION_1,
        Feature.VERSION_1 | Feature.PROTOCOL_FEATURES | Feature.LOG_ALL,
        Feature.VERSION_1 | Feature.PROTOCOL_FEATURES | Feature.RING_PACKED,
        Feature((1 << 64) - 1),
    ]
)


class Requests(RuleBasedStateMachine):
    """``backend`` is set by the test; ``ended`` says that the daemon has closed the connection."""

    backend: Backend

    def __init__(self) -> None:
        super().__init__()
        self.memory = GuestMemory(4 * MiB)
        self.guest = Guest(self.memory, timeout=5)
        self.display = DisplayServer()
        self.ended = False
        self.frontend = self._connected()

    def _connected(self) -> Frontend:
        frontend = Frontend.connect(self.backend.socket_path)
        frontend.realize(self.guest.queues)
        return frontend

    @precondition(lambda self: self.ended)
    @rule()
    def connect_again(self) -> None:
        self.frontend.close()
        self.guest.fresh_rings()
        self.ended = False
        self.frontend = self._connected()

    def teardown(self) -> None:
        self.frontend.close()
        self.display.close()
        self.guest.close()
        self.memory.close()
        assert self.display.violations == []

    def tell(self, request: int, payload: bytes = b"", fds: tuple[int, ...] = ()) -> None:
        """Wants to hear of it, so that every rule sees what it has caused."""
        try:
            self.frontend.tell(request, payload, fds, ack=True)
        except DisconnectedError:
            self.ended = True
        except RequestRefusedError:
            pass

    def ask(self, request: int, payload: bytes = b"") -> bytes:
        try:
            return self.frontend.ask(request, payload).payload
        except DisconnectedError:
            self.ended = True
            return b""

    @invariant()
    def the_connection_answers_or_has_ended(self) -> None:
        if not self.ended:
            assert len(self.ask(Request.GET_QUEUE_NUM)) in (0, 8)

    going = precondition(lambda self: not self.ended)

    @going
    @rule(features=FEATURES)
    def set_features(self, features: Feature) -> None:
        self.tell(Request.SET_FEATURES, struct.pack("=Q", features))

    @going
    @rule(queue=OFTEN_A_QUEUE, size=SIZES)
    def set_vring_num(self, queue: int, size: int) -> None:
        self.tell(Request.SET_VRING_NUM, struct.pack("=II", queue, size))

    @going
    @rule(queue=OFTEN_A_QUEUE, base=BASES)
    def set_vring_base(self, queue: int, base: int) -> None:
        self.tell(Request.SET_VRING_BASE, struct.pack("=II", queue, base))

    @going
    @rule(queue=QUEUES, misplaced=st.sampled_from([0, 0, 0, 2, 1 << 30]), log=st.booleans())
    def set_vring_address(self, queue: int, misplaced: int, log: bool) -> None:
        ring = self.guest.queues[queue].ring
        parts = (ring.descriptor, ring.used, ring.available)
        addresses = [self.memory.user_address(part) + misplaced for part in parts]
        fields = struct.pack("=II4Q", queue, log, *addresses, ring.used if log else 0)
        self.tell(Request.SET_VRING_ADDR, fields)

    @going
    @rule(
        which=st.sampled_from(
            [Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR]
        ),
        queue=OFTEN_A_QUEUE,
        present=st.booleans(),
    )
    def set_vring_descriptor(self, which: Request, queue: int, present: bool) -> None:
        ring = self.guest.queues[queue % 2]
        descriptor = {
            Request.SET_VRING_KICK: ring.kick_fd,
            Request.SET_VRING_CALL: ring.call_fd,
            Request.SET_VRING_ERR: ring.err_fd,
        }[which]
        value = queue if present else queue | 0x100
        self.tell(which, struct.pack("=Q", value), (descriptor,) if present else ())

    @going
    @rule(queue=OFTEN_A_QUEUE, enabled=st.integers(0, 1))
    def set_vring_enable(self, queue: int, enabled: int) -> None:
        self.tell(Request.SET_VRING_ENABLE, struct.pack("=II", queue, enabled))

    @going
    @rule(queue=OFTEN_A_QUEUE)
    def get_vring_base(self, queue: int) -> None:
        self.ask(Request.GET_VRING_BASE, struct.pack("=II", queue, 0))

    @going
    @rule()
    def add_memory(self) -> None:
        self.tell(Request.ADD_MEM_REG, bytes(8) + self._region(), (self.memory.regions[0].fd,))

    @going
    @rule()
    def remove_memory(self) -> None:
        self.tell(Request.REM_MEM_REG, bytes(8) + self._region())

    @going
    @rule(count=st.integers(0, 2))
    def set_memory_table(self, count: int) -> None:
        fds = (self.memory.regions[0].fd,) * count
        self.tell(Request.SET_MEM_TABLE, struct.pack("=II", count, 0) + self._region() * count, fds)

    def _region(self) -> bytes:
        region = self.memory.regions[0]
        return struct.pack(
            "=4Q", region.guest_address, region.size, region.user_address, region.mmap_offset
        )

    @going
    @rule(size=st.sampled_from([0, 16, 4096]))
    def set_log(self, size: int) -> None:
        log = os.memfd_create("log")
        os.ftruncate(log, 4096)
        try:
            self.frontend.ask(Request.SET_LOG_BASE, struct.pack("=QQ", size, 0), [log])
        except DisconnectedError:
            self.ended = True
        finally:
            os.close(log)

    @going
    @rule()
    def new_display(self) -> None:
        assert self.display.violations == []
        self.display.close()
        self.display = DisplayServer()
        self.tell(Request.GPU_SET_SOCKET, fds=(self.display.theirs.fileno(),))
        self.display.theirs.close()

    @going
    @rule()
    def reset_device(self) -> None:
        self.tell(Request.RESET_DEVICE)

    @going
    @rule()
    def whole_start(self) -> None:
        """What a real one does, so that the ring is at work now and then."""
        try:
            self.frontend.driver_ok(self.memory, self.guest.queues, None)
        except DisconnectedError:
            self.ended = True
        except RequestRefusedError:
            pass

    @going
    @rule(queue=QUEUES)
    def something_is_available(self, queue: int) -> None:
        ring = self.guest.queues[queue]
        request = commands.get_display_info() if queue == 0 else commands.move_cursor(0, 1, 2)
        with suppress(OutOfGuestMemoryError, RingFullError):
            ring.submit(request, commands.DISPLAY_INFO_SIZE if queue == 0 else 0)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with daemon() as running:
        yield running


def test_requests_in_any_order_are_answered_or_end_their_connection(backend: Backend) -> None:
    class Against(Requests):
        pass

    Against.backend = backend
    case = Against.TestCase
    case.settings = settings(
        max_examples=12,
        stateful_step_count=50,
        deadline=None,
        # A failure is found with other requests each time: making it smaller takes too long.
        phases=[Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()
    assert backend.process.poll() is None
    with Machine(backend.socket_path) as machine:
        machine.guest.show(machine.guest.create_2d(32, 32))
        assert machine.display.wait_for(lambda: machine.display.updates)
    assert "Traceback" not in backend.log
