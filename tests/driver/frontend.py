# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The VMM's half of vhost-user, in the order in which QEMU's vhost-user-gpu-pci speaks it."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
import threading
import time
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from pathlib import Path

from .memory import GuestMemory, Region
from .protocol import DisconnectedError, Message, receive_message, send_message
from .queue import Queue
from .waiting import readable

VERSION = 1
FLAG_REPLY = 1 << 2
FLAG_NEED_REPLY = 1 << 3
NO_DESCRIPTOR = 1 << 8
LOG_PAGE = 4096


class Request(IntEnum):
    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SET_BACKEND_REQ_FD = 21
    GET_CONFIG = 24
    SET_CONFIG = 25
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32
    GPU_SET_SOCKET = 33
    RESET_DEVICE = 34
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40
    GET_SHARED_OBJECT = 41
    GET_SHMEM_CONFIG = 44


class Protocol(IntFlag):
    MQ = 1 << 0
    LOG_SHMFD = 1 << 1
    REPLY_ACK = 1 << 3
    BACKEND_REQ = 1 << 5
    CONFIG = 1 << 9
    BACKEND_SEND_FD = 1 << 10
    INFLIGHT_SHMFD = 1 << 12
    RESET_DEVICE = 1 << 13
    CONFIGURE_MEM_SLOTS = 1 << 15
    STATUS = 1 << 16
    SHMEM = 1 << 22


class Feature(IntFlag):
    VIRGL = 1 << 0
    EDID = 1 << 1
    RESOURCE_UUID = 1 << 2
    RESOURCE_BLOB = 1 << 3
    CONTEXT_INIT = 1 << 4
    LOG_ALL = 1 << 26
    INDIRECT_DESC = 1 << 28
    EVENT_IDX = 1 << 29
    PROTOCOL_FEATURES = 1 << 30
    VERSION_1 = 1 << 32
    RING_PACKED = 1 << 34
    RING_RESET = 1 << 40


QEMU_PROTOCOL = (
    Protocol.MQ
    | Protocol.LOG_SHMFD
    | Protocol.REPLY_ACK
    | Protocol.BACKEND_REQ
    | Protocol.CONFIG
    | Protocol.BACKEND_SEND_FD
    | Protocol.RESET_DEVICE
    | Protocol.CONFIGURE_MEM_SLOTS
)
QEMU_FEATURES = (
    Feature.VERSION_1
    | Feature.EVENT_IDX
    | Feature.INDIRECT_DESC
    | Feature.EDID
    | Feature.RESOURCE_UUID
    | Feature.PROTOCOL_FEATURES
)
# What a VMM has that passes on what the backend offers, as QEMU's generic vhost-user device.
GENERIC_FEATURES = QEMU_FEATURES | Feature.RESOURCE_BLOB


class RequestRefusedError(Exception):
    """The backend acknowledged a request with something other than 0."""


class Frontend:
    """One connection to a backend; every call waits for its answer, at most ``timeout`` seconds."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        wanted_protocol: Protocol = QEMU_PROTOCOL,
        wanted_features: Feature = QEMU_FEATURES,
        config_size: int = 20,
        timeout: float = 5.0,
    ) -> None:
        """What the backend does not offer is left out of what is acknowledged.

        ``config_size``: bytes that the VMM knows of the configuration space: QEMU 11.1's 20, earlier releases' 16.
        """
        connection.settimeout(timeout)
        self.connection = connection
        self.wanted_protocol = wanted_protocol
        self.wanted_features = wanted_features
        self.config_size = config_size
        self.offered_features = Feature(0)
        self.features = Feature(0)
        self.offered_protocol = Protocol(0)
        self.protocol = Protocol(0)
        self.backend_channel: socket.socket | None = None
        self.log: mmap.mmap | None = None
        self.bases: dict[int, int] = {}
        self.shared_regions: dict[int, int] = {}
        # One thing after another, whichever thread it is of.
        self._exchange = threading.Lock()
        self._shared: list[Region] = []

    @classmethod
    def connect(
        cls,
        path: Path | str,
        *,
        wanted_protocol: Protocol = QEMU_PROTOCOL,
        wanted_features: Feature = QEMU_FEATURES,
        config_size: int = 20,
        timeout: float = 5.0,
    ) -> Frontend:
        """Connects, and tries again while the socket is not there yet."""
        end = time.monotonic() + timeout
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(path))
            except OSError as error:
                connection.close()
                expected = isinstance(error, FileNotFoundError | ConnectionRefusedError)
                if not expected or time.monotonic() > end:
                    raise
                time.sleep(0.002)
            else:
                return cls(
                    connection,
                    wanted_protocol=wanted_protocol,
                    wanted_features=wanted_features,
                    config_size=config_size,
                    timeout=timeout,
                )

    def close(self) -> None:
        """Leaves, as a VMM that exits."""
        self.connection.close()
        if self.backend_channel is not None:
            self.backend_channel.close()

    # --- messages -----------------------------------------------------------------------------

    def send(
        self, request: int, payload: bytes = b"", fds: Sequence[int] = (), flags: int = VERSION
    ) -> None:
        """Any message at all."""
        send_message(self.connection, request, flags, payload, tuple(fds))

    def receive(self, request: int) -> Message:
        """The reply to ``request``; one that QEMU would reject fails here as well."""
        reply = receive_message(self.connection)
        if (reply.request, reply.flags) != (request, VERSION | FLAG_REPLY):
            raise RequestRefusedError(
                f"{request} was answered with {reply.request}, {reply.flags:#x}"
            )
        return reply

    def ask(self, request: int, payload: bytes = b"", fds: Sequence[int] = ()) -> Message:
        """A request that has a reply of its own."""
        with self._exchange:
            self.send(request, payload, fds)
            return self.receive(request)

    def ask_u64(self, request: int, payload: bytes = b"") -> int:
        return self.ask(request, payload).u64

    def tell(
        self, request: int, payload: bytes = b"", fds: Sequence[int] = (), *, ack: bool = False
    ) -> None:
        """A request without a reply; with ``ack``, and REPLY_ACK negotiated, its acknowledgement is awaited."""
        acknowledged = ack and Protocol.REPLY_ACK in self.protocol
        with self._exchange:
            self.send(request, payload, fds, VERSION | (FLAG_NEED_REPLY if acknowledged else 0))
            result = self.receive(request).u64 if acknowledged else 0
        if result:
            raise RequestRefusedError(f"request {request} was acknowledged with {result}")

    # --- the phases of QEMU's device ------------------------------------------------------------

    def realize(self, queues: Sequence[Queue]) -> None:
        """What QEMU sends when the device is made."""
        self.offered_features = Feature(self.ask_u64(Request.GET_FEATURES))
        self.offered_protocol = Protocol(self.ask_u64(Request.GET_PROTOCOL_FEATURES))
        self.protocol = self.wanted_protocol & self.offered_protocol
        self.tell(Request.SET_PROTOCOL_FEATURES, _u64(self.protocol))
        if Protocol.MQ in self.protocol:
            self.queue_num = self.ask_u64(Request.GET_QUEUE_NUM)
        if Protocol.CONFIGURE_MEM_SLOTS in self.protocol:
            self.max_mem_slots = self.ask_u64(Request.GET_MAX_MEM_SLOTS)
        if Protocol.BACKEND_REQ in self.protocol:
            self.set_backend_channel()
        self.tell(Request.SET_OWNER)
        self.ask_u64(Request.GET_FEATURES)
        for index, queue in enumerate(queues):
            self.set_vring_fd(Request.SET_VRING_CALL, index, queue.call_fd, ack=True)
            self.set_vring_fd(Request.SET_VRING_ERR, index, queue.err_fd, ack=True)
        if Protocol.SHMEM in self.protocol:
            self.shared_regions = self.get_shmem_config()

    def driver_ok(
        self, memory: GuestMemory, queues: Sequence[Queue], display: socket.socket | None
    ) -> None:
        """What QEMU sends when the guest's driver sets DRIVER_OK, and at ``cont`` and reboot.

        ``display`` is the backend's end of a new display socket (closed here); None sends none, as a headless machine
        does.  Regions that the backend has already are not sent again.
        """
        if display is not None:
            self.set_gpu_socket(display)
        for index, queue in enumerate(queues):
            self.set_vring_fd(Request.SET_VRING_CALL, index, queue.call_fd)
        self.set_features(self.features_for(queues))
        if Protocol.STATUS in self.protocol:
            self.ask_u64(Request.GET_STATUS)
            self.tell(Request.SET_STATUS, _u64(8))
        self.share_memory(memory)
        for index, queue in enumerate(queues):
            self.set_up_vring(memory, index, queue)
        for index in range(len(queues)):
            self.set_vring_enable(index, True)
        for index, queue in enumerate(queues):
            self.set_vring_fd(Request.SET_VRING_CALL, index, queue.call_fd)

    def features_for(self, queues: Sequence[Queue]) -> Feature:
        """What a guest whose driver made these rings acknowledges."""
        features = self.wanted_features & self.offered_features
        if not all(queue.ring.event_idx for queue in queues):
            features &= ~Feature.EVENT_IDX
        if any(queue.ring.packed for queue in queues):
            # A transport feature: QEMU sets it without asking the backend.
            features |= Feature.RING_PACKED
        return features

    def start(
        self, memory: GuestMemory, queues: Sequence[Queue], display: socket.socket | None
    ) -> None:
        """Realize, the guest's look at the configuration, DRIVER_OK."""
        self.realize(queues)
        if Protocol.CONFIG in self.protocol:
            self.get_config()
            self.get_config()
        self.driver_ok(memory, queues, display)

    def stop(self, count: int = 2) -> list[int]:
        """What QEMU sends at stop, unbind and power-off; the bases, which ``cont`` gives back."""
        for index in range(count):
            self.set_vring_enable(index, False)
        self.bases = {index: self.get_vring_base(index) for index in range(count)}
        for index in range(count):
            self.tell(Request.SET_VRING_CALL, _u64(index | NO_DESCRIPTOR))
        return list(self.bases.values())

    def cont(
        self, memory: GuestMemory, queues: Sequence[Queue], display: socket.socket | None
    ) -> None:
        """After ``stop``: the rings go on where they were."""
        self.driver_ok(memory, queues, display)

    def reset(self) -> None:
        """After ``stop``: a reset of the machine; the rings that come next are new."""
        if Protocol.RESET_DEVICE in self.protocol:
            self.tell(Request.RESET_DEVICE)
        self.bases = {}

    # --- single requests ------------------------------------------------------------------------

    def set_features(self, features: Feature, *, ack: bool = False) -> None:
        self.features = features
        self.tell(Request.SET_FEATURES, _u64(features), ack=ack)

    def set_gpu_socket(self, display: socket.socket) -> None:
        with display:
            self.tell(Request.GPU_SET_SOCKET, fds=[display.fileno()])

    def set_backend_channel(self) -> None:
        if self.backend_channel is not None:
            self.backend_channel.close()
        self.backend_channel, theirs = socket.socketpair()
        self.backend_channel.settimeout(self.connection.gettimeout())
        with theirs:
            self.tell(Request.SET_BACKEND_REQ_FD, fds=[theirs.fileno()], ack=True)

    def set_up_vring(self, memory: GuestMemory, index: int, queue: Queue) -> None:
        """NUM, BASE, ADDR, KICK: the ring is started."""
        base = self.bases.get(index, queue.ring.base)
        self.tell(Request.SET_VRING_NUM, _state(index, queue.ring.size))
        self.tell(Request.SET_VRING_BASE, _state(index, base))
        self.set_vring_addr(memory, index, queue)
        self.set_vring_fd(Request.SET_VRING_KICK, index, queue.kick_fd, ack=True)

    def set_vring_addr(
        self, memory: GuestMemory, index: int, queue: Queue, *, log: bool = False, ack: bool = False
    ) -> None:
        """``log``: changes to the used ring are logged, at its guest address."""
        ring = queue.ring
        fields = struct.pack(
            "=II4Q",
            index,
            int(log),
            memory.user_address(ring.descriptor),
            memory.user_address(ring.used),
            memory.user_address(ring.available),
            ring.used if log else 0,
        )
        self.tell(Request.SET_VRING_ADDR, fields, ack=ack)

    def set_vring_fd(self, request: Request, index: int, fd: int, *, ack: bool = False) -> None:
        """KICK, CALL or ERR; ``fd`` below 0: none, the backend is to poll."""
        if fd < 0:
            self.tell(request, _u64(index | NO_DESCRIPTOR), ack=ack)
        else:
            self.tell(request, _u64(index), [fd], ack=ack)

    def set_vring_enable(self, index: int, enabled: bool) -> None:
        self.tell(Request.SET_VRING_ENABLE, _state(index, int(enabled)), ack=True)

    def get_vring_base(self, index: int) -> int:
        reply = self.ask(Request.GET_VRING_BASE, _state(index, 0))
        answered, base = struct.unpack("=II", reply.payload)
        if answered != index:
            raise RequestRefusedError(f"the base of ring {answered} came for {index}")
        return int(base)

    def get_config(self, size: int | None = None, offset: int = 0) -> bytes:
        """Bytes of the configuration space; as QEMU, refuses a reply of another size."""
        size = self.config_size if size is None else size
        fields = struct.pack("=III", offset, size, 0)
        reply = self.ask(Request.GET_CONFIG, fields + bytes(size))
        if len(reply.payload) != len(fields) + size:
            raise RequestRefusedError(f"GET_CONFIG was answered with {len(reply.payload)} bytes")
        return reply.payload[len(fields) :]

    def set_config(self, data: bytes, offset: int = 0) -> None:
        self.tell(Request.SET_CONFIG, struct.pack("=III", offset, len(data), 0) + data, ack=True)

    def get_shmem_config(self) -> dict[int, int]:
        """The shared memory regions: bytes by id."""
        count, _, *sizes = struct.unpack("=2I256Q", self.ask(Request.GET_SHMEM_CONFIG).payload)
        regions = {number: size for number, size in enumerate(sizes) if size}
        if len(regions) != count:
            raise RequestRefusedError(f"{count} shared memory regions, of {len(regions)} sizes")
        return regions

    # --- memory and its log -----------------------------------------------------------------------

    def share_memory(self, memory: GuestMemory) -> None:
        """Tells the backend of all regions that it has not, by slots if it has them, by a table if not."""
        if Protocol.CONFIGURE_MEM_SLOTS not in self.protocol:
            self.set_mem_table(memory.regions)
            return
        for region in memory.regions:
            if region not in self._shared:
                self.add_region(region)

    def set_mem_table(self, regions: Sequence[Region], *, ack: bool = True) -> None:
        fields = b"".join(_region(region) for region in regions)
        self.tell(
            Request.SET_MEM_TABLE,
            struct.pack("=II", len(regions), 0) + fields,
            [region.fd for region in regions],
            ack=ack,
        )
        self._shared = list(regions)

    def add_region(self, region: Region) -> None:
        self.tell(Request.ADD_MEM_REG, bytes(8) + _region(region), [region.fd], ack=True)
        self._shared.append(region)

    def remove_region(self, region: Region) -> None:
        self.tell(Request.REM_MEM_REG, bytes(8) + _region(region), ack=True)
        self._shared.remove(region)

    def start_log(self, memory: GuestMemory, queues: Sequence[Queue]) -> None:
        """The start of a migration, on running rings: a log for all of memory, LOG_ALL, used rings logged."""
        top = max(region.guest_address + region.size for region in memory.regions)
        pages = -(-top // LOG_PAGE)
        size = (pages + 7) // 8
        fd = os.memfd_create("dirty-log", os.MFD_CLOEXEC)
        os.ftruncate(fd, size)
        self.log = mmap.mmap(fd, size)
        # SET_LOG_BASE has a reply of its own when LOG_SHMFD is negotiated; its payload means nothing.
        self.ask(Request.SET_LOG_BASE, struct.pack("=QQ", size, 0), [fd])
        os.close(fd)
        self.set_features(self.features | Feature.LOG_ALL, ack=True)
        for index, queue in enumerate(queues):
            self.set_vring_addr(memory, index, queue, log=True, ack=True)

    def dirty_pages(self) -> set[int]:
        """Guest addresses of the pages that the backend marked."""
        if self.log is None:
            return set()
        log = self.log[:]
        return {
            (index * 8 + bit) * LOG_PAGE
            for index, byte in enumerate(log)
            if byte
            for bit in range(8)
            if byte >> bit & 1
        }

    # --- the backend's own requests -----------------------------------------------------------------

    def backend_request(self) -> Message:
        """The next request on the backend channel."""
        if self.backend_channel is None:
            raise DisconnectedError
        return receive_message(self.backend_channel)

    def answer_backend(self, message: Message, value: int = 0) -> None:
        """Acknowledges it, if it asked for that."""
        if self.backend_channel is not None and message.flags & FLAG_NEED_REPLY:
            flags = VERSION | FLAG_REPLY
            send_message(self.backend_channel, message.request, flags, _u64(value))

    def disconnected(self, timeout: float = 5.0) -> bool:
        """Whether the backend closes the connection within ``timeout`` seconds."""
        if not readable(self.connection, timeout):
            return False
        with contextlib.suppress(ConnectionResetError):
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        return True


def _u64(value: int) -> bytes:
    return struct.pack("=Q", value)


def _state(index: int, number: int) -> bytes:
    return struct.pack("=II", index, number)


def _region(region: Region) -> bytes:
    return struct.pack(
        "=4Q", region.guest_address, region.size, region.user_address, region.mmap_offset
    )
