# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A virtqueue with its two eventfds: requests out, responses back, within a time limit."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .memory import GuestMemory
from .rings import Buffer, Ring, Used, make_ring
from .waiting import readable


class NoResponseError(Exception):
    """The device did not answer within the time given."""


@dataclass(frozen=True)
class Pending:
    """A request in flight; ``response`` is where in guest memory its answer will be."""

    id: int
    response: Buffer


class Queue:
    """``ring`` and the eventfds ``kick_fd``, ``call_fd``, ``err_fd``, which belong to it."""

    def __init__(
        self, memory: GuestMemory, size: int, *, packed: bool = False, event_idx: bool = False
    ) -> None:
        self.memory = memory
        self.ring: Ring = make_ring(memory, size, packed=packed, event_idx=event_idx)
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        self.kick_fd = os.eventfd(0, flags)
        self.call_fd = os.eventfd(0, flags)
        self.err_fd = os.eventfd(0, flags)
        self.kicks = 0
        self.calls = 0
        self._done: dict[int, Used] = {}
        self._spare: dict[int, list[int]] = {}
        self._lent: dict[int, list[Buffer]] = {}

    def close(self) -> None:
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            os.close(fd)

    def kick(self) -> None:
        """Notifies the device, whether it asked for that or not."""
        self.kicks += 1
        os.eventfd_write(self.kick_fd, 1)

    def submit(
        self,
        request: bytes | Sequence[bytes],
        response_length: int = 24,
        *,
        indirect: bool = False,
        kick: bool = True,
    ) -> Pending:
        """Makes a request available: one readable buffer for each piece, one writable for the response (none when
        ``response_length`` is 0).  With ``kick`` false the device may look at it or not."""
        pieces = [request] if isinstance(request, bytes) else request
        readable = [(self._room(len(piece)), len(piece)) for piece in pieces]
        for (address, _), piece in zip(readable, pieces, strict=True):
            self.memory.write(address, piece)
        response = (self._room(response_length), response_length)
        writable = [response] if response_length else []
        chain = self.ring.add(readable, writable, indirect=indirect)
        self._lent[chain] = [*readable, response]
        if kick and self.ring.needs_kick():
            self.kick()
        return Pending(chain, response)

    def _room(self, length: int) -> int:
        """Buffers are used again, so that a long test does not fill guest memory."""
        spare = self._spare.get(length)
        return spare.pop() if spare else self.memory.allocate(max(length, 1))

    def collect(self) -> None:
        for used in self.ring.collect():
            self._done[used.id] = used

    def finished(self, pending: Pending) -> Used | None:
        """What the used ring says of it, once; None while it is in flight."""
        self.collect()
        return self._done.pop(pending.id, None)

    def wait(self, pending: Pending, timeout: float = 5.0) -> tuple[bytes, int]:
        """The response buffer's bytes and the length written, once the device has notified and answered.

        Sleeps on the call eventfd as a driver does, so a notification that is lost is found out: NoResponseError.
        """
        end = time.monotonic() + timeout
        while (used := self.finished(pending)) is None:
            if not self.wait_for_call(max(0.0, end - time.monotonic())):
                what = "no notification" if self.finished(pending) else "no answer"
                raise NoResponseError(f"chain {pending.id}: {what} in {timeout} s")
        raw = self.memory.read(*pending.response)
        for address, length in self._lent.pop(pending.id, ()):
            self._spare.setdefault(length, []).append(address)
        return raw, used.length

    def wait_for_call(self, timeout: float) -> bool:
        """Whether the device notified within ``timeout`` seconds; takes the notification."""
        if not readable(self.call_fd, timeout):
            return False
        self.calls += os.eventfd_read(self.call_fd)
        return True

    def errored(self, timeout: float = 0.0) -> bool:
        """Whether the device reported the ring as broken."""
        return readable(self.err_fd, timeout)
