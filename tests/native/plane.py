# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The data plane of a device process, a guest on its control queue, and the presenter's end of its present channel.

Everything is one thread: a guest that waits for an answer lets the device run until a marker, a command that only
Python knows, comes out.
"""

from __future__ import annotations

import array
import errno
import mmap
import os
import socket
import struct
import threading
from dataclasses import replace
from typing import Any

from tests.driver import commands
from tests.driver.commands import Command, Response, ResponseType
from tests.driver.gpu import Guest
from tests.driver.memory import GuestMemory, MiB
from tests.driver.queue import Pending
from tests.driver.waiting import readable
from vgpud.native import ffi, lib, made

from .device_end import PACKET_BYTES, Kind, Record
from .tables import share

MARKER = 0x7E57
INDIRECT, EVENT_IDX, VERSION_1, PACKED = 1 << 28, 1 << 29, 1 << 32, 1 << 34
RESPONSES = {
    0: ResponseType.OK_NODATA,
    errno.ENOENT: ResponseType.ERR_INVALID_RESOURCE_ID,
    errno.ENODEV: ResponseType.ERR_INVALID_SCANOUT_ID,
    errno.ENOMEM: ResponseType.ERR_OUT_OF_MEMORY,
    errno.EINVAL: ResponseType.ERR_INVALID_PARAMETER,
}


class StuckError(Exception):
    """The device did not leave on its own."""


class PlaneGuest(Guest):
    """Its device runs while it waits."""

    plane: Plane

    def wait(self, pending: Pending) -> Response:
        self.plane.settle()
        return super().wait(pending)


def _surface(words: tuple[int, ...]) -> Any:
    """What SET_SCANOUT_BLOB shows."""
    x, y, width, height, _, resource_id, surface_width, surface_height, pixel_format, *_ = words
    return ffi.new(
        "struct surface_state *",
        {
            "resource_id": resource_id,
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "surface_width": surface_width,
            "surface_height": surface_height,
            "format": pixel_format,
            "stride": words[10],
            "offset": words[14],
        },
    )


class Plane:
    """``presented``: what ``records`` has taken in so far; ``held``: chains left to be answered by the test."""

    def __init__(
        self,
        *,
        packed: bool = False,
        event_idx: bool = False,
        indirect: bool = False,
        draws: bool = True,
        num_scanouts: int = 2,
        memory: GuestMemory | None = None,
        control_size: int = 64,
        **limits: int,
    ) -> None:
        self.memory = memory or GuestMemory(32 * MiB)
        self.guest = PlaneGuest(
            self.memory,
            packed=packed,
            event_idx=event_idx,
            indirect=indirect,
            control_size=control_size,
        )
        self.guest.plane = self
        self.guest_memory = made(lib.guest_memory_new())
        self.share()
        self.state_fd = lib.session_state_create()
        self.state = made(lib.session_state_map(self.state_fd))
        self.limits = {
            "image_bytes": 256 * MiB,
            "request_bytes": 1 << 16,
            "resources": 64,
            "backing_entries": 1 << 16,
        } | limits
        self.draws = draws
        self.num_scanouts = num_scanouts
        self.link, self.poke = os.pipe()
        self.exit = ffi.new("struct device_exit *")
        self._connect()

    def _connect(self) -> None:
        """A device, as a new process would make it."""
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.staging: mmap.mmap | None = None
        self.images: dict[int, int] = {}
        self.presented: list[Record] = []
        limits = ffi.new("struct device_limits *", self.limits)
        self.device = made(
            lib.device_new(
                self.guest_memory,
                self.state,
                self.link,
                theirs.fileno(),
                int(self.draws),
                limits,
                self.num_scanouts,
            )
        )
        theirs.close()

    def close(self) -> None:
        lib.device_free(self.device)
        self._disconnect()
        lib.session_state_unmap(self.state)
        lib.guest_memory_free(self.guest_memory)
        for fd in (self.state_fd, self.link, self.poke):
            os.close(fd)
        self.guest.close()
        self.memory.close()

    def _disconnect(self) -> None:
        self.channel.close()
        for fd in self.images.values():
            os.close(fd)
        if self.staging is not None:
            self.staging.close()

    def share(self) -> None:
        """The whole memory table."""
        share(self.guest_memory, self.memory.regions)

    # --- the queue

    def config(self) -> Any:
        """The control queue, for the native side."""
        ring = self.guest.control.ring
        features = VERSION_1
        features |= EVENT_IDX if self.guest.event_idx else 0
        features |= INDIRECT if self.guest.indirect else 0
        features |= PACKED if self.guest.packed else 0
        user_address = self.memory.user_address
        return ffi.new(
            "struct virtqueue_config *",
            {
                "size": ring.size,
                "features": features,
                "descriptor": user_address(ring.descriptor),
                "available": user_address(ring.available),
                "used": user_address(ring.used),
            },
        )

    def start(self, base: int | None = None, *, recover: bool = False, kick: bool = True) -> int:
        """Starts and enables the queue; 0 or a negative errno."""
        queue = self.guest.control
        base = queue.ring.base if base is None else base
        kick_fd = queue.kick_fd if kick else -1
        result: int = lib.device_queue_start(
            self.device, self.config(), base, kick_fd, queue.call_fd, queue.err_fd, int(recover)
        )
        lib.device_queue_set_enabled(self.device, 1)
        return result

    def stop(self) -> int:
        base = ffi.new("uint32_t *")
        assert lib.device_queue_stop(self.device, base) == 0
        return int(base[0])

    def run(self) -> int:
        """Lets the device run until it leaves on its own; returns the reason."""
        watchdog = threading.Timer(5, lambda: os.write(self.poke, b"stuck"))
        watchdog.start()
        result = lib.device_run(self.device, self.exit)
        watchdog.cancel()
        assert result == 0
        if readable(self.link) and os.read(self.link, 5) == b"stuck":
            raise StuckError
        return int(self.exit.reason)

    def request(self) -> bytes:
        """What an EXIT_COMMAND is about."""
        length = self.exit.request_length
        return bytes(ffi.unpack(ffi.cast("char *", self.exit.request), length)) if length else b""

    def respond(self, chain: int, response_type: int, data: bytes = b"") -> int:
        response = struct.pack("<I", response_type) + bytes(20) + data
        result: int = lib.device_respond(self.device, chain, response, len(response))
        return result

    def settle(self) -> int:
        """Everything available is done, Python's commands as well; returns why that ended if not so."""
        self.guest.control.submit(commands.header(MARKER))
        while (reason := self.run()) == lib.EXIT_COMMAND:
            request = self.request()
            command = int.from_bytes(request[:4], "little")
            chain = self.exit.chain
            answer = ResponseType.OK_NODATA if command == MARKER else self._execute(request)
            assert self.respond(chain, answer) == 0
            if command == MARKER:
                return 0
        return reason

    def _execute(self, request: bytes) -> int:
        command, fields = int.from_bytes(request[:4], "little"), request[24:]
        words = struct.unpack(f"<{len(fields) // 4}I", fields)
        device = self.device
        if command == Command.RESOURCE_CREATE_2D:
            result = lib.resource_create_2d(device, *words)
        elif command == Command.RESOURCE_UNREF:
            result = lib.resource_unref(device, words[0])
        elif command == Command.RESOURCE_ATTACH_BACKING:
            result = lib.resource_attach_backing(device, words[0], fields[8:], words[1])
        elif command == Command.RESOURCE_DETACH_BACKING:
            result = lib.resource_detach_backing(device, words[0])
        elif command == Command.SET_SCANOUT:
            result = lib.scanout_set(device, words[4], words[5], *words[:4])
        elif command == Command.RESOURCE_CREATE_BLOB:
            size = words[6] | words[7] << 32
            result = lib.resource_create_blob(device, words[0], size)
            if result == 0:
                result = lib.resource_attach_backing(device, words[0], fields[32:], words[3])
        elif command == Command.SET_SCANOUT_BLOB:
            result = lib.scanout_set_blob(device, words[4], _surface(words))
        else:
            return ResponseType.ERR_UNSPEC
        return RESPONSES.get(-result, ResponseType.ERR_UNSPEC)

    def die(self) -> None:
        """The process ends where it is; another one goes on with the session's state."""
        state = ffi.buffer(self.state)
        left = bytes(state)
        lib.device_free(self.device)
        state[:] = left
        self._disconnect()
        self._connect()

    # --- the presenter's end

    def records(self) -> list[Record]:
        """What has come since the last call; descriptors are kept."""
        found = []
        while readable(self.channel):
            payload, ancillary, _, _ = self.channel.recvmsg(PACKET_BYTES, 256)
            if not payload:
                break
            records = Record.unpack_all(payload)
            fds = [fd for _, _, data in ancillary for fd in array.array("i", data)]
            self._keep(records[0], fds)
            found += records
        self.presented += found
        return found

    def _keep(self, record: Record, fds: list[int]) -> None:
        if record.kind == Kind.STAGING:
            self.staging = mmap.mmap(fds[0], 4 * MiB)
            os.close(fds[0])
        elif record.kind == Kind.IMAGE and fds:
            assert record.image_id not in self.images
            self.images[record.image_id] = fds[0]
        elif record.kind == Kind.FORGET:
            os.close(self.images.pop(record.image_id))

    def pixels(self, record: Record) -> bytes:
        """What a record says is to be shown, rows without gaps."""
        row = record.width * 4
        if record.kind == Kind.STAGED:
            assert self.staging is not None
            start = record.position % (4 * MiB)
            return self.staging[start : start + row * record.height]
        stride = record.image_width * 4
        slot_bytes = -(-stride * record.image_height // 4096) * 4096
        first = 4096 + slot_bytes * record.slot + record.source_y * stride + record.source_x * 4
        fd = self.images[record.image_id]
        return b"".join(os.pread(fd, row, first + y * stride) for y in range(record.height))

    def release(self, *records: Record) -> None:
        """Gives records back as the presenter does."""
        for record in records:
            if record.kind == Kind.IMAGE:
                self.channel.send(replace(record, kind=Kind.RELEASED).pack())
            if record.kind == Kind.STAGED:
                end = record.position + record.width * record.height * 4
                self.channel.send(Record(Kind.CONSUMED, position=end).pack())

    def shown(self) -> list[Record]:
        """The records with pixels that have come since the last call."""
        return [record for record in self.records() if record.kind in (Kind.STAGED, Kind.IMAGE)]
