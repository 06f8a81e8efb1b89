# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guest memory as the daemon has it: mapped for the cursor queue, and remembered, descriptors
included, for the next device process.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from vgpud.link import rights
from vgpud.link.messages import MemoryRegion
from vgpud.native import checked, lib, made


class DirtyLog(NamedTuple):
    """In bytes; the descriptor belongs to whoever holds this."""

    descriptor: int
    size: int
    offset: int


class GuestMemory:
    """``pointer`` is for native code, which must be told of every change.

    A method that raises OSError has changed nothing, and taken no descriptor.
    """

    def __init__(self) -> None:
        self.pointer = made(lib.guest_memory_new())
        self.log: DirtyLog | None = None
        self._regions: dict[MemoryRegion, int] = {}

    @property
    def regions(self) -> tuple[MemoryRegion, ...]:
        return tuple(self._regions)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """One for each region, which stays this object's."""
        return tuple(self._regions.values())

    def add(self, region: MemoryRegion, descriptor: int) -> None:
        """Maps one more region; takes the descriptor."""
        self._map(region, descriptor)
        self._regions[region] = descriptor

    def _map(self, region: MemoryRegion, descriptor: int) -> None:
        guest_address, size, user_address, mmap_offset = region
        checked(
            lib.guest_memory_add(
                self.pointer, descriptor, guest_address, size, user_address, mmap_offset
            )
        )

    def remove(self, region: MemoryRegion) -> MemoryRegion:
        """Unmaps the region that is the same but for its offset, which front-ends do not repeat;
        returns it as it was added.
        """
        known = next((known for known in self._regions if known[:3] == region[:3]), region)
        checked(lib.guest_memory_remove(self.pointer, *known[:3]))
        os.close(self._regions.pop(known))
        return known

    def replace(self, regions: Sequence[MemoryRegion], descriptors: list[int]) -> None:
        """Maps these regions and no others; takes the descriptors out of the list."""
        lib.guest_memory_clear(self.pointer)
        try:
            for region, descriptor in zip(regions, descriptors, strict=True):
                self._map(region, descriptor)
        except OSError:
            lib.guest_memory_clear(self.pointer)
            for region, descriptor in self._regions.items():
                with suppress(OSError):
                    self._map(region, descriptor)
            raise
        rights.close(self._regions.values())
        self._regions = dict(zip(regions, descriptors, strict=True))
        descriptors.clear()

    def set_log(self, log: DirtyLog) -> None:
        """Marks there what is written from now on; takes the descriptor."""
        checked(lib.guest_memory_set_log(self.pointer, *log))
        if self.log is not None:
            os.close(self.log.descriptor)
        self.log = log

    def set_logging(self, enabled: bool) -> None:
        """Whether VHOST_F_LOG_ALL is negotiated."""
        lib.guest_memory_set_logging(self.pointer, int(enabled))

    def close(self) -> None:
        lib.guest_memory_free(self.pointer)
        rights.close(self._regions.values())
        self._regions.clear()
        if self.log is not None:
            os.close(self.log.descriptor)
            self.log = None
