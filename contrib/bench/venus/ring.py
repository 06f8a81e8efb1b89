# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A ring of Venus: commands that the driver writes into memory which it shares with the worker of its context.

What is read here of Venus' protocol (Mesa's `vn_protocol`): a command is its number, its flags and its arguments, all in words of 32 bits.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum

IDLE, FATAL = 1, 2
"""Bits of a ring's status: the worker sleeps, and wants to be notified; it has given up."""
TIMEOUT = 20.0
# How Mesa's driver waits: it looks 256 times, yielding to the guest's other programs in between, and then sleeps in naps.
LOOK = 100e-6
NAP = 160e-6


class VenusCommand(IntEnum):
    GET_FENCE_STATUS = 38
    SET_REPLY_COMMAND_STREAM = 178
    CREATE_RING = 188
    NOTIFY_RING = 190


_COMMAND = struct.Struct("<II")
_NOTIFY = struct.Struct("<IIQII")
_CHAINED = struct.Struct("<IQI")
_POINTER = struct.Struct("<QIQ")
_CREATE_INFO = struct.Struct("<II10Q")


class WrongStreamError(Exception):
    """What was recorded is not executed as it was then."""


@dataclass(frozen=True)
class Layout:
    """Where a ring lies in a blob: all but the first two in bytes from the blob's beginning; ``size``: a power of two."""

    ring_id: int
    resource_id: int
    head: int
    tail: int
    status: int
    buffer: int
    size: int

    def as_json(self) -> dict[str, int]:
        return asdict(self)


def command_of(stream: bytes) -> int:
    """The first command's number."""
    return int(_COMMAND.unpack_from(stream)[0]) if len(stream) >= _COMMAND.size else -1


def created_ring(stream: bytes) -> Layout:
    """Of a stream that begins with vkCreateRingMESA."""
    at = _COMMAND.size
    (ring_id,) = struct.unpack_from("<Q", stream, at)
    at += 8
    _, _, chained = _POINTER.unpack_from(stream, at)
    at += _POINTER.size
    if chained:
        _, more, _ = _CHAINED.unpack_from(stream, at)
        at += _CHAINED.size
        if more:
            raise WrongStreamError("a ring with more than one structure chained to it")
    fields = _CREATE_INFO.unpack_from(stream, at)
    _, resource_id, offset, _, _, head, tail, status, buffer, size, _, _ = fields
    return Layout(
        ring_id,
        resource_id,
        head=offset + head,
        tail=offset + tail,
        status=offset + status,
        buffer=offset + buffer,
        size=size,
    )


def notification(layout: Layout, position: int) -> bytes:
    """vkNotifyRingMESA."""
    return _NOTIFY.pack(VenusCommand.NOTIFY_RING, 0, layout.ring_id, position, 0)


class Ring:
    """The driver's side.  ``notify`` submits a stream to the context."""

    def __init__(self, layout: Layout, memory: memoryview, notify: Callable[[bytes], None]) -> None:
        def word(offset: int) -> memoryview:
            return memory[offset : offset + 4].cast("I")

        self.layout = layout
        self.head, self.tail, self.status = map(word, (layout.head, layout.tail, layout.status))
        self.buffer = memory[layout.buffer : layout.buffer + layout.size]
        self._notify = notify

    def write(self, data: bytes) -> None:
        """Makes it available, and notifies a worker that sleeps."""
        begin = self.tail[0] % self.layout.size
        fits = min(len(data), self.layout.size - begin)
        self.buffer[begin : begin + fits] = data[:fits]
        self.buffer[: len(data) - fits] = data[fits:]
        self.tail[0] = (self.tail[0] + len(data)) & 0xFFFFFFFF
        self._wake()

    def _wake(self) -> None:
        if self.status[0] & IDLE:
            self._notify(notification(self.layout, self.tail[0]))

    def wait(self) -> None:
        """Until all is executed: looks for a while, then in naps.  Of what the guest's programs yield to each other the host sees
        nothing: a virtual processor that looks keeps its own busy.
        """
        head, tail = self.head, self.tail
        begun = time.monotonic()
        while time.monotonic() < begun + LOOK:
            if head[0] == tail[0]:
                return
        end = begun + TIMEOUT
        while head[0] != tail[0]:
            if self.status[0] & FATAL or time.monotonic() > end:
                raise WrongStreamError(f"the ring stands at {head[0]} of {tail[0]}")
            self._wake()
            time.sleep(NAP)
