# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guest memory as the session has it: mapped for the cursor queue, and kept, with its descriptors,
for the next device process.
"""

import errno
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from vgpud.link import rights
from vgpud.link.memory_table import MemoryTable
from vgpud.link.messages import MemoryRegion
from vgpud.native import lib, made


class DirtyLog(NamedTuple):
    """In bytes; its owner owns the descriptor."""

    descriptor: int
    size: int
    offset: int


class GuestMemory:
    """``pointer`` is for native code, which sees every change; ``limit`` is in bytes, for all
    regions and the dirty log together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pointer = made(lib.guest_memory_new())
        self.log: DirtyLog | None = None
        self._regions: dict[MemoryRegion, int] = {}

    @property
    def regions(self) -> tuple[MemoryRegion, ...]:
        return tuple(self._regions)

    @property
    def bytes(self) -> int:
        """How much is mapped now."""
        return _bytes(self._regions, self.log)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """One for each region; this object keeps them."""
        return tuple(self._regions.values())

    def find(self, region: MemoryRegion) -> MemoryRegion:
        """The region that differs only in its offset, which front-ends do not repeat; ``region``
        itself when there is none.
        """
        return next((known for known in self._regions if known[:3] == region[:3]), region)

    def change(self) -> "MemoryChange":
        """A change, during which nobody else may change memory."""
        return MemoryChange(self, self._regions, self.log)

    def use(self, regions: dict[MemoryRegion, int], log: DirtyLog | None) -> None:
        """Takes these descriptors, and closes the previous ones that are not among them."""
        kept = {*regions.values(), log.descriptor if log else -1}
        before = [*self._regions.values(), *([self.log.descriptor] if self.log else [])]
        rights.close(descriptor for descriptor in before if descriptor not in kept)
        self._regions, self.log = regions, log

    def set_logging(self, enabled: bool) -> None:
        """Whether VHOST_F_LOG_ALL is negotiated."""
        lib.guest_memory_set_logging(self.pointer, int(enabled))

    def close(self) -> None:
        self.use({}, None)
        lib.guest_memory_free(self.pointer)


class MemoryChange:
    """The new guest memory, built beside the old: whoever else has to agree is asked before
    :meth:`commit`. In a ``with`` statement, which drops it unless it was committed.  Only
    ``commit`` takes descriptors.  After an ``OSError`` from any other method nothing has changed.
    """

    def __init__(
        self, memory: GuestMemory, regions: dict[MemoryRegion, int], log: DirtyLog | None
    ) -> None:
        self._memory = memory
        self._table = MemoryTable(memory.pointer)
        self._regions = dict(regions)
        self._log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._table.__exit__(kind, error, trace)

    def add(self, region: MemoryRegion, descriptor: int) -> None:
        """Adds a region."""
        self._check({**self._regions, region: descriptor}, self._log)
        self._table.add(region, descriptor)
        self._regions[region] = descriptor

    def remove(self, region: MemoryRegion) -> None:
        """Removes a region, as ``GuestMemory.find`` gives it."""
        self._table.remove(region)
        del self._regions[region]

    def replace(self, regions: Sequence[MemoryRegion], descriptors: Sequence[int]) -> None:
        """These regions and no others."""
        self._table.clear()
        self._regions.clear()
        for region, descriptor in zip(regions, descriptors, strict=True):
            self.add(region, descriptor)

    def set_log(self, log: DirtyLog) -> None:
        """Marks in this log what is written."""
        self._check(self._regions, log)
        self._table.set_log(*log)
        self._log = log

    def _check(self, regions: dict[MemoryRegion, int], log: DirtyLog | None) -> None:
        wanted, limit = _bytes(regions, log), self._memory.limit
        if wanted > limit:
            text = f"{wanted} bytes of guest memory, more than {limit} (limits.guest_memory)"
            raise OSError(errno.ENOMEM, text)

    def commit(self) -> None:
        """Makes this guest memory from now on."""
        self._table.use()
        self._memory.use(self._regions, self._log)


def _bytes(regions: Iterable[MemoryRegion], log: DirtyLog | None) -> int:
    return sum(region.size for region in regions) + (log.size if log else 0)
