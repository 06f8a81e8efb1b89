# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Does again what was recorded: the same streams, the same blobs, the same commands in the rings, each waited for as the driver did.

After each frame comes an empty stream with a fence of the queue's timeline, as Linux' driver has it for a picture that is presented to a
compositor; as with two buffers, it has to have passed when the next frame has ended.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Protocol

from .recording import (
    Commands,
    Create,
    Event,
    Expect,
    Frame,
    MakeRing,
    Poll,
    Submit,
    Unref,
    Write,
    digest,
)
from .ring import NAP, Layout, Ring, WrongStreamError

QUEUE_RING = 1
"""The timeline that Mesa gives to a device's first queue."""
NOT_READY = 1
_REPLY = struct.Struct("<Ii")


class Host(Protocol):
    """Who carries it out, for one context."""

    def begin(self) -> None: ...

    def create(self, blob: Create) -> memoryview: ...

    def unref(self, resource_id: int) -> None: ...

    def submit(self, stream: bytes) -> None: ...

    def fence(self) -> None:
        """An empty stream with a fence of the queue's timeline."""

    def wait(self) -> None:
        """Until that has passed."""

    def end(self) -> None:
        """Of the context and all that is left of it."""


class Replay:
    """``blobs``: the memory of those that there are."""

    def __init__(self, events: Sequence[Event], host: Host) -> None:
        self._events = iter(events)
        self._host = host
        self._rings: dict[int, Ring] = {}
        self._fenced = False
        self.blobs: dict[int, memoryview] = {}

    def settle(self) -> None:
        """No fence is under way any more."""
        if self._fenced:
            self._host.wait()
        self._fenced = False

    def advance(self, frames: int | None) -> None:
        """So many frames; None: to the end."""
        while frames is None or frames > 0:
            event = next(self._events, None)
            if event is None:
                if frames is not None:
                    raise WrongStreamError("there are no more frames")
                return
            self._do(event)
            if frames is not None:
                frames -= isinstance(event, Frame)

    def _do(self, event: Event) -> None:
        match event:
            case Commands(resource_id, data):
                ring = self._rings[resource_id]
                ring.write(data)
                ring.wait()
            case Poll():
                self._poll(event)
            case Write(resource_id, offset, data):
                self.blobs[resource_id][offset : offset + len(data)] = data
            case Submit(data):
                self._host.submit(data)
            case Create():
                self.blobs[event.resource_id] = self._host.create(event)
            case MakeRing():
                self._make_ring(event)
            case Unref(resource_id):
                del self.blobs[resource_id]
                self._rings.pop(resource_id, None)
                self._host.unref(resource_id)
            case Expect(resource_id, data):
                if digest(self.blobs[resource_id]) != data:
                    raise WrongStreamError(f"blob {resource_id} has something else than it had")
            case Frame():
                if self._fenced:
                    self._host.wait()
                self._host.fence()
                self._fenced = True

    def _make_ring(self, made: MakeRing) -> None:
        layout = Layout(
            made.ring_id,
            made.resource_id,
            made.head,
            made.tail,
            made.status,
            made.buffer,
            made.size,
        )
        memory = self.blobs[made.resource_id]
        self._rings[made.resource_id] = Ring(layout, memory, self._host.submit)

    def _poll(self, event: Poll) -> None:
        ring = self._rings[event.resource_id]
        reply = self.blobs[event.reply_id][event.reply_offset :][: _REPLY.size]
        while True:
            ring.write(event.data)
            ring.wait()
            _, result = _REPLY.unpack(reply)
            if result == 0:
                return
            if result != NOT_READY:
                raise WrongStreamError(f"a fence's status is {result}")
            time.sleep(NAP)
