# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guest memory in memfds: regions, an allocator, reading and writing at guest addresses.

A region's user address (where the VMM says that it has mapped it) is never its guest address, and no constant
separates the two: a backend that mixes the address spaces up is found out at once.
"""

import bisect
import itertools
import mmap
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

PAGE = 4096
MiB = 1 << 20

_USER_BASE = 0x7E00_0000_0000
_USER_STEP = 0x0040_0020_0000


class OutOfGuestMemoryError(Exception):
    """The allocator has no room left."""


class BadGuestAddressError(Exception):
    """A range that no single region holds."""


@dataclass(frozen=True)
class Region:
    """One piece of guest memory, as vhost-user's memory region describes it.  The descriptor belongs to it."""

    guest_address: int
    size: int
    user_address: int
    fd: int
    mmap_offset: int
    view: memoryview = field(repr=False, compare=False)

    def holds(self, guest_address: int, length: int) -> bool:
        offset = guest_address - self.guest_address
        return offset >= 0 and offset + length <= self.size


class GuestMemory:
    """One or more regions.  All addresses are guest addresses unless a name says otherwise."""

    def __init__(self, *sizes: int, first_address: int = 0x10_0000) -> None:
        """``sizes``: bytes of each region, laid out from ``first_address`` with a gap of 1 GiB between two."""
        self.regions: list[Region] = []
        self._next: dict[int, int] = {}
        self._user_slots = 0
        address = first_address
        for size in sizes or (16 * MiB,):
            self.add(address, size)
            address += size + (1 << 30)

    def add(
        self,
        guest_address: int,
        size: int,
        *,
        fd: int | None = None,
        mmap_offset: int = 0,
        user_address: int | None = None,
    ) -> Region:
        """Adds a region, over ``fd`` (duplicated; it must be long enough) or a new memfd."""
        if fd is None:
            own = os.memfd_create("guest-memory", os.MFD_CLOEXEC)
            os.ftruncate(own, mmap_offset + size)
        else:
            own = os.dup(fd)
        if user_address is None:
            # Downwards while guest addresses go upwards, so that the order differs as well.
            user_address = _USER_BASE - self._user_slots * _USER_STEP
            self._user_slots += 1
        mapped = mmap.mmap(own, size, offset=mmap_offset)
        region = Region(guest_address, size, user_address, own, mmap_offset, memoryview(mapped))
        self.regions.append(region)
        self._next[own] = guest_address
        return region

    def remove(self, region: Region) -> None:
        """Forgets a region: nothing may be allocated from it, read or written any more."""
        self.regions.remove(region)
        del self._next[region.fd]
        os.close(region.fd)

    def close(self) -> None:
        for region in list(self.regions):
            self.remove(region)

    def region_of(self, address: int, length: int = 1) -> Region:
        for region in self.regions:
            if region.holds(address, length):
                return region
        raise BadGuestAddressError(f"{length} bytes at {address:#x}")

    def view(self, address: int, length: int) -> memoryview:
        """The live bytes at ``address``: writing here is writing guest memory."""
        region = self.region_of(address, length)
        offset = address - region.guest_address
        return region.view[offset : offset + length]

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.view(address, length))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        self.view(address, len(data))[:] = data

    def fill(self, address: int, length: int, byte: int = 0) -> None:
        self.write(address, bytes([byte]) * length)

    def user_address(self, address: int) -> int:
        """Where the VMM has this guest address mapped: what SET_VRING_ADDR takes."""
        region = self.region_of(address)
        return address - region.guest_address + region.user_address

    def allocate(self, size: int, alignment: int = 16, region: Region | None = None) -> int:
        """The guest address of ``size`` fresh bytes.  Nothing is ever given back."""
        for candidate in [region] if region else self.regions:
            address = -(-self._next[candidate.fd] // alignment) * alignment
            if candidate.holds(address, size):
                self._next[candidate.fd] = address + size
                return address
        raise OutOfGuestMemoryError(f"{size} bytes")

    def put(self, data: bytes, alignment: int = 16) -> int:
        """Allocates room for ``data``, writes it there and returns its address."""
        address = self.allocate(len(data), alignment)
        self.write(address, data)
        return address

    def allocate_pages(self, count: int, *, seed: int | None = 0) -> list[int]:
        """``count`` pages in an order shuffled by ``seed`` (None: in order), as a guest's scattered backing."""
        pages = [self.allocate(PAGE, PAGE) for _ in range(count)]
        if seed is not None:
            random.Random(seed).shuffle(pages)
        return pages


class Scattered:
    """A buffer made up of (guest address, length) ``pieces`` in turn, read and written by its own offsets."""

    def __init__(self, memory: GuestMemory, pieces: Sequence[tuple[int, int]]) -> None:
        self.memory = memory
        self.pieces = pieces
        self.starts = list(itertools.accumulate((length for _, length in pieces), initial=0))

    def _walk(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Guest address and length of each stretch of the range."""
        if not 0 <= offset <= offset + length <= self.starts[-1]:
            raise BadGuestAddressError(
                f"{length} bytes at {offset} of a buffer of {self.starts[-1]}"
            )
        index = bisect.bisect_right(self.starts, offset) - 1
        while length > 0:
            address, size = self.pieces[index]
            into = offset - self.starts[index]
            count = min(size - into, length)
            yield address + into, count
            offset, length, index = offset + count, length - count, index + 1

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        left = memoryview(data)
        for address, count in self._walk(offset, len(left)):
            self.memory.write(address, left[:count])
            left = left[count:]

    def read(self, offset: int, length: int) -> bytes:
        return b"".join(self.memory.view(*stretch) for stretch in self._walk(offset, length))
