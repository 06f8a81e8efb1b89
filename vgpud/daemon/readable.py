# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The descriptors of all machines, for which one task waits.

With a task for each of them a hundred machines would take three MiB, which the allocator keeps when they have left.
"""

import select
from typing import Protocol

import trio


class Reader(Protocol):
    """Whose descriptor it is."""

    def on_readable(self, descriptor: int) -> None:
        """It can be read, or has ended."""
        ...

    def on_failure(self, error: Exception) -> None:
        """``on_readable`` has raised this."""
        ...


class Readable:
    """Owns an epoll descriptor, but none of those that are added."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Reader] = {}

    def close(self) -> None:
        self._epoll.close()

    async def run(self) -> None:
        """Tells the readers; never returns."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            # One at a time: it may close others that are ready, and open some with their numbers.  The
            # kernel puts it behind them, so each has its turn.
            for descriptor, _ in self._epoll.poll(0, 1):
                _call(self._readers[descriptor], descriptor)

    def add(self, descriptor: int, reader: Reader) -> None:
        """Remove the descriptor before it is closed."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = reader

    def remove(self, descriptor: int) -> None:
        """It is not waited for any more, if it was."""
        if self._readers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)


def _call(reader: Reader, descriptor: int) -> None:
    try:
        reader.on_readable(descriptor)
    except Exception as error:
        reader.on_failure(error)
