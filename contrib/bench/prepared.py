# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A split control queue whose chains are written in advance, so that Python's part of a command is
a few stores.

Each chain is one indirect descriptor, as Linux's driver makes them: request and response.
"""

import os
import struct
import time
from collections.abc import Sequence

from tests.driver.commands import HEADER_SIZE, read_response
from tests.driver.queue import NoResponseError, Queue
from tests.driver.rings import (
    DESCRIPTOR_SIZE,
    VIRTQ_DESC_F_INDIRECT,
    VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
    SplitRing,
)

_DESCRIPTOR = struct.Struct("<QIHH")
TABLE_SIZE = 2 * DESCRIPTOR_SIZE
TIMEOUT = 10.0


def table(request: int, request_length: int, response: int, response_length: int) -> bytes:
    """An indirect table of a request and a response, at guest addresses."""
    return _DESCRIPTOR.pack(request, request_length, VIRTQ_DESC_F_NEXT, 1) + _DESCRIPTOR.pack(
        response, response_length, VIRTQ_DESC_F_WRITE, 0
    )


class WrongResponseError(Exception):
    """A command of the benchmark failed, so that its time would mean nothing."""


class PreparedQueue:
    """Takes a queue over until ``release``.  Chains are numbered in the order of preparation; the
    number is also their head.
    """

    def __init__(self, queue: Queue, requests: Sequence[bytes]) -> None:
        if not isinstance(queue.ring, SplitRing):
            raise TypeError("prepared chains need a split ring")
        self.queue = queue
        self.ring = queue.ring
        self.size = self.ring.size
        if len(requests) > self.size:
            raise ValueError(f"{len(requests)} chains in a ring of {self.size}")
        self.kick_fd = queue.kick_fd
        self.available = self.ring.available_words
        self.used = self.ring.used_words
        self.idx = self.ring.avail_idx
        self._kicked_idx = self.idx
        # The driver polls; with event_idx there is one unused notification in 65536 commands.
        self.ring.set_interrupts(False)
        self.responses = [self._prepare(head, request) for head, request in enumerate(requests)]

    def _prepare(self, head: int, request: bytes) -> int:
        memory = self.queue.memory
        response = memory.put(bytes(HEADER_SIZE))
        written = memory.put(table(memory.put(request), len(request), response, HEADER_SIZE))
        self.ring.write_descriptor(head, written, TABLE_SIZE, VIRTQ_DESC_F_INDIRECT)
        return response

    def offer(self, *chains: int) -> None:
        """Makes chains available all at once and kicks if the device wants that."""
        old = self.idx
        for chain in chains:
            self.available[2 + self.idx % self.size] = chain
            self.idx = (self.idx + 1) & 0xFFFF
        self.available[1] = self.idx
        self.kick(old)

    def kick(self, old: int) -> None:
        """``old``: the index before what was just published."""
        if self.ring.event_idx:
            event = self.used[2 + 4 * self.size]
            wanted = (self.idx - event - 1) & 0xFFFF < (self.idx - old) & 0xFFFF
        else:
            wanted = not self.used[0] & 1
        if wanted:
            os.eventfd_write(self.kick_fd, 1)

    @property
    def in_flight(self) -> int:
        return (self.idx - self.used[1]) & 0xFFFF

    def wait(self, in_flight: int = 0) -> None:
        """Spins until at most ``in_flight`` chains are in flight."""
        end = time.monotonic() + TIMEOUT
        while self.in_flight > in_flight:
            if time.monotonic() > end:
                raise NoResponseError(f"{self.in_flight} chains in flight after {TIMEOUT} s")

    def check(self) -> None:
        """Checks that each chain's last response is OK, and clears them for the next check."""
        memory = self.queue.memory
        for chain, address in enumerate(self.responses):
            response = read_response(memory.read(address, HEADER_SIZE), HEADER_SIZE)
            if not response.ok:
                raise WrongResponseError(f"chain {chain}: {response.type:#x}")
            memory.fill(address, HEADER_SIZE)

    def release(self) -> None:
        """Waits for what is in flight and gives the ring back to the queue's own methods."""
        self.wait()
        self.ring.avail_idx = self.idx
        self.ring.last_used_idx = self.used[1]
        self.ring.set_interrupts(True)
        self.ring.needs_kick()
