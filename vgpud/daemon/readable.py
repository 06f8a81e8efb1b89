# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The descriptors of all machines, for which one task waits.

With a task for each of them a hundred machines would take three MiB, which the allocator keeps when they have left.
"""

import select
from collections.abc import Callable
from typing import NamedTuple

import trio


class _Entry(NamedTuple):
    on_readable: Callable[[], None]
    on_failure: Callable[[Exception], None]


class Readable:
    """Owns an epoll descriptor, but none of those that are added."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._entries: dict[int, _Entry] = {}

    def close(self) -> None:
        self._epoll.close()

    async def run(self) -> None:
        """Calls what was added with each descriptor that can be read, or has ended; never returns."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            ready = [(one, self._entries[one]) for one, _ in self._epoll.poll(0)]
            for descriptor, entry in ready:
                # One before it may have removed it, and even have got another with its number.
                if self._entries.get(descriptor) is entry:
                    _call(entry)

    def add(
        self,
        descriptor: int,
        on_readable: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """``on_failure`` gets what ``on_readable`` raises.  Remove the descriptor before it is closed."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._entries[descriptor] = _Entry(on_readable, on_failure)

    def remove(self, descriptor: int) -> None:
        """It is not waited for any more."""
        del self._entries[descriptor]
        self._epoll.unregister(descriptor)


def _call(entry: _Entry) -> None:
    try:
        entry.on_readable()
    except Exception as error:
        entry.on_failure(error)
