# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The driver's half of a virtqueue, split (VIRTIO 1.2, 2.7) and packed (2.8).

``add`` builds well-formed chains.  Hostile ones are written by hand: ``write_descriptor`` and, for a split ring,
``offer`` and ``set_avail_idx`` take any value that fits the field.

Shared indices go through ``memoryview.cast("H")``, whose accesses are single 16-bit loads and stores; ``struct`` with an explicit
byte order would store them byte by byte, and a device would see half an index.  The interpreter gives no memory
barriers: this relies on x86's store order, or on a kick between publishing and looking.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .memory import GuestMemory

VIRTQ_DESC_F_NEXT: Final = 1
VIRTQ_DESC_F_WRITE: Final = 2
VIRTQ_DESC_F_INDIRECT: Final = 4
VIRTQ_AVAIL_F_NO_INTERRUPT: Final = 1
VIRTQ_USED_F_NO_NOTIFY: Final = 1

PACKED_DESC_F_AVAIL: Final = 1 << 7
PACKED_DESC_F_USED: Final = 1 << 15
RING_EVENT_FLAGS_ENABLE: Final = 0
RING_EVENT_FLAGS_DISABLE: Final = 1
RING_EVENT_FLAGS_DESC: Final = 2

DESCRIPTOR_SIZE: Final = 16
_SPLIT_DESCRIPTOR = struct.Struct("<QIHH")
_PACKED_DESCRIPTOR = struct.Struct("<QIHH")

Buffer = tuple[int, int]
"""Guest address and length in bytes."""


class RingFullError(Exception):
    """Fewer free descriptors than the chain needs."""


class BrokenRingError(Exception):
    """The device did what the specification forbids."""


@dataclass(frozen=True)
class Used:
    """A chain that came back: its id (what ``add`` returned) and the bytes that the device says it wrote."""

    id: int
    length: int


class Ring(ABC):
    """What split and packed rings have in common.

    ``descriptor``, ``available`` and ``used`` are the guest addresses of the three areas under vhost-user's names (for a
    packed ring the last two are the driver's and the device's event suppression).
    """

    packed: bool

    def __init__(self, memory: GuestMemory, size: int, *, event_idx: bool = False) -> None:
        self.memory = memory
        self.size = size
        self.event_idx = event_idx
        self._interrupts = True
        self.descriptor = 0
        self.available = 0
        self.used = 0

    @abstractmethod
    def add(
        self,
        readable: Sequence[Buffer],
        writable: Sequence[Buffer],
        *,
        indirect: bool = False,
        publish: bool = True,
    ) -> int:
        """Makes a chain available and returns its id.  With ``publish`` false the device sees it only after ``publish()``."""

    @abstractmethod
    def publish(self) -> None:
        """Shows the device what ``add(..., publish=False)`` prepared."""

    @abstractmethod
    def needs_kick(self) -> bool:
        """Whether the device asked to be notified of what was published since the last call."""

    def collect(self) -> list[Used]:
        """The chains that came back since the last call, in the device's order."""
        found: list[Used] = []
        while more := self._collect():
            found += more
            if self._interrupts:
                # Then looked at again: what came in between has not been notified (2.7.7.1).
                self.set_interrupts(True)
        return found

    @abstractmethod
    def _collect(self) -> list[Used]:
        """What has come back, without asking for the next notification."""

    @abstractmethod
    def set_interrupts(self, wanted: bool) -> None:
        """Asks the device for (no) notifications; with event_idx for one at the next used chain."""

    @property
    @abstractmethod
    def base(self) -> int:
        """What SET_VRING_BASE takes for a device that has consumed everything collected so far."""

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Chains published and not yet collected."""

    def _write_indirect_table(self, pieces: Sequence[tuple[Buffer, int]], chained: bool) -> Buffer:
        table = bytearray()
        for index, ((address, length), flags) in enumerate(pieces):
            following = index + 1 < len(pieces)
            flags |= VIRTQ_DESC_F_NEXT if chained and following else 0
            table += _SPLIT_DESCRIPTOR.pack(
                address,
                length,
                *((flags, index + 1 if following else 0) if chained else (0, flags)),
            )
        return self.memory.put(bytes(table)), len(table)


def _pieces(readable: Sequence[Buffer], writable: Sequence[Buffer]) -> list[tuple[Buffer, int]]:
    return [(buffer, 0) for buffer in readable] + [
        (buffer, VIRTQ_DESC_F_WRITE) for buffer in writable
    ]


def _passed(event: int, new: int, old: int) -> bool:
    """vring_need_event() of the specification (2.7.10): the step from old to new went over ``event``."""
    return (new - event - 1) & 0xFFFF < (new - old) & 0xFFFF


class SplitRing(Ring):
    """VIRTIO 1.2, 2.7."""

    packed = False

    def __init__(
        self, memory: GuestMemory, size: int, *, event_idx: bool = False, base: int = 0
    ) -> None:
        """``base``: the index at which both rings start, for tests of the wrap at 65536.

        ``available_words`` and ``used_words`` are the live rings as 16-bit words: flags, idx, ring, and last the event.
        """
        super().__init__(memory, size, event_idx=event_idx)
        self.descriptor = memory.put(bytes(DESCRIPTOR_SIZE * size))
        self.available = memory.put(bytes(6 + 2 * size), 2)
        self.used = memory.put(bytes(6 + 8 * size), 4)
        self.available_words = memory.view(self.available, 6 + 2 * size).cast("H")
        self.used_words = memory.view(self.used, 6 + 8 * size).cast("H")
        self._used32 = memory.view(self.used + 4, 8 * size).cast("I")
        self._free = list(range(size))
        self._chains: dict[int, list[int]] = {}
        self.avail_idx = base
        self._kicked_idx = base
        self.last_used_idx = base
        self.available_words[1] = base
        self.used_words[1] = base
        self.set_interrupts(True)

    def write_descriptor(
        self, index: int, address: int, length: int, flags: int, following: int = 0
    ) -> None:
        """Any descriptor at any place of the table, true or not."""
        self.memory.write(
            self.descriptor + DESCRIPTOR_SIZE * index,
            _SPLIT_DESCRIPTOR.pack(address, length, flags, following),
        )

    def offer(self, head: int) -> None:
        """Puts any head, in the table or not, into the next place of the available ring."""
        self.available_words[2 + self.avail_idx % self.size] = head
        self.avail_idx = (self.avail_idx + 1) & 0xFFFF

    def set_avail_idx(self, idx: int) -> None:
        """Publishes any index, however far away."""
        self.avail_idx = idx & 0xFFFF
        self.available_words[1] = self.avail_idx

    def add(
        self,
        readable: Sequence[Buffer],
        writable: Sequence[Buffer],
        *,
        indirect: bool = False,
        publish: bool = True,
    ) -> int:
        pieces = _pieces(readable, writable)
        if indirect:
            pieces = [(self._write_indirect_table(pieces, chained=True), VIRTQ_DESC_F_INDIRECT)]
        if not 0 < len(pieces) <= len(self._free):
            raise RingFullError(f"{len(pieces)} descriptors wanted, {len(self._free)} free")
        indexes = [self._free.pop(0) for _ in pieces]
        for index, following, ((address, length), flags) in zip(
            indexes, [*indexes[1:], None], pieces, strict=True
        ):
            more = VIRTQ_DESC_F_NEXT if following is not None else 0
            self.write_descriptor(index, address, length, flags | more, following or 0)
        self._chains[indexes[0]] = indexes
        self.offer(indexes[0])
        if publish:
            self.publish()
        return indexes[0]

    def publish(self) -> None:
        self.available_words[1] = self.avail_idx

    def needs_kick(self) -> bool:
        old, self._kicked_idx = self._kicked_idx, self.avail_idx
        if old == self.avail_idx:
            return False
        if self.event_idx:
            avail_event = self.used_words[2 + 4 * self.size]
            return _passed(avail_event, self.avail_idx, old)
        return not self.used_words[0] & VIRTQ_USED_F_NO_NOTIFY

    @property
    def used_idx(self) -> int:
        """The device's index, read now."""
        return self.used_words[1]

    def _collect(self) -> list[Used]:
        found = []
        end = self.used_idx
        if (end - self.last_used_idx) & 0xFFFF > self.size:
            raise BrokenRingError(f"used idx went from {self.last_used_idx} to {end}")
        while self.last_used_idx != end:
            place = self.last_used_idx % self.size
            head, length = self._used32[2 * place], self._used32[2 * place + 1]
            chain = self._chains.pop(head, None)
            if chain is None:
                raise BrokenRingError(f"chain {head} came back and was not in flight")
            self._free += chain
            found.append(Used(head, length))
            self.last_used_idx = (self.last_used_idx + 1) & 0xFFFF
        return found

    def set_interrupts(self, wanted: bool) -> None:
        self._interrupts = wanted
        if not self.event_idx:
            self.available_words[0] = 0 if wanted else VIRTQ_AVAIL_F_NO_INTERRUPT
            return
        # An event half the index space away is as good as none (2.7.7.1).
        event = self.last_used_idx if wanted else self.last_used_idx - 0x8000
        self.available_words[2 + self.size] = event & 0xFFFF

    @property
    def base(self) -> int:
        return (self.avail_idx - len(self._chains)) & 0xFFFF

    @property
    def in_flight(self) -> int:
        return len(self._chains)


class PackedRing(Ring):
    """VIRTIO 1.2, 2.8."""

    packed = True

    def __init__(self, memory: GuestMemory, size: int, *, event_idx: bool = False) -> None:
        super().__init__(memory, size, event_idx=event_idx)
        self.descriptor = memory.put(bytes(DESCRIPTOR_SIZE * size))
        self.available = memory.put(bytes(4), 4)
        self.used = memory.put(bytes(4), 4)
        self._flags = memory.view(self.descriptor, DESCRIPTOR_SIZE * size).cast("H")
        self._driver_event = memory.view(self.available, 4).cast("H")
        self._device_event = memory.view(self.used, 4).cast("H")
        self._ids = list(range(size))
        self._chains: dict[int, int] = {}
        self._next_avail = 0
        self._avail_wrap = True
        self._next_used = 0
        self._used_wrap = True
        self._since_kick = 0
        self._unpublished: list[tuple[int, int]] = []
        self.set_interrupts(True)

    def write_descriptor(
        self, place: int, address: int, length: int, buffer_id: int, flags: int
    ) -> None:
        """Any descriptor at any place, the flags (with AVAIL and USED) last, so that it appears whole."""
        self.memory.write(
            self.descriptor + DESCRIPTOR_SIZE * place,
            _PACKED_DESCRIPTOR.pack(address, length, buffer_id, flags)[:14],
        )
        self._flags[8 * place + 7] = flags

    def available_flags(self) -> int:
        """AVAIL and USED as an available descriptor has them in this turn of the ring."""
        return PACKED_DESC_F_AVAIL if self._avail_wrap else PACKED_DESC_F_USED

    @property
    def next_place(self) -> int:
        """Where the next descriptor goes."""
        return self._next_avail

    def _advance(self) -> None:
        self._since_kick += 1
        self._next_avail += 1
        if self._next_avail == self.size:
            self._next_avail = 0
            self._avail_wrap = not self._avail_wrap

    def add(
        self,
        readable: Sequence[Buffer],
        writable: Sequence[Buffer],
        *,
        indirect: bool = False,
        publish: bool = True,
    ) -> int:
        pieces = _pieces(readable, writable)
        if indirect:
            pieces = [(self._write_indirect_table(pieces, chained=False), VIRTQ_DESC_F_INDIRECT)]
        free = self.size - sum(self._chains.values())
        if not 0 < len(pieces) <= free:
            raise RingFullError(f"{len(pieces)} descriptors wanted, {free} free")
        buffer_id = self._ids.pop(0)
        first: tuple[int, int] | None = None
        for index, ((address, length), flags) in enumerate(pieces):
            flags |= self.available_flags()
            flags |= VIRTQ_DESC_F_NEXT if index + 1 < len(pieces) else 0
            place = self._next_avail
            if first is None:
                # The head's flags are written last (2.8.6): until then the device sees nothing of the chain.
                first = (place, flags)
                flags ^= PACKED_DESC_F_AVAIL | PACKED_DESC_F_USED
            self.write_descriptor(place, address, length, buffer_id, flags)
            self._advance()
        assert first is not None
        self._chains[buffer_id] = len(pieces)
        self._unpublished.append(first)
        if publish:
            self.publish()
        return buffer_id

    def publish(self) -> None:
        # Backwards: the device stops at the first that is not available, so it sees all of them at once.
        for place, flags in reversed(self._unpublished):
            self._flags[8 * place + 7] = flags
        self._unpublished.clear()

    def needs_kick(self) -> bool:
        count, self._since_kick = self._since_kick, 0
        flags = self._device_event[1] & 3
        if count == 0 or flags == RING_EVENT_FLAGS_DISABLE:
            return False
        if flags == RING_EVENT_FLAGS_ENABLE or not self.event_idx:
            return True
        off_wrap = self._device_event[0]
        event = off_wrap & 0x7FFF
        if bool(off_wrap >> 15) != self._avail_wrap:
            event -= self.size
        return _passed(event & 0xFFFF, self._next_avail, (self._next_avail - count) & 0xFFFF)

    def _collect(self) -> list[Used]:
        found = []
        while True:
            flags = self._flags[8 * self._next_used + 7]
            if not (
                bool(flags & PACKED_DESC_F_AVAIL)
                == bool(flags & PACKED_DESC_F_USED)
                == self._used_wrap
            ):
                break
            if not self._chains:
                break
            raw = self.memory.read(
                self.descriptor + DESCRIPTOR_SIZE * self._next_used, DESCRIPTOR_SIZE
            )
            _, length, buffer_id, _ = _PACKED_DESCRIPTOR.unpack(raw)
            count = self._chains.pop(buffer_id, None)
            if count is None:
                raise BrokenRingError(f"buffer {buffer_id} came back and was not in flight")
            self._ids.append(buffer_id)
            # A chain that was not marked as written has no length to speak of (2.8.6.3).
            found.append(Used(buffer_id, length if flags & VIRTQ_DESC_F_WRITE else 0))
            self._next_used += count
            if self._next_used >= self.size:
                self._next_used -= self.size
                self._used_wrap = not self._used_wrap
        return found

    def set_interrupts(self, wanted: bool) -> None:
        self._interrupts = wanted
        if not wanted:
            self._driver_event[1] = RING_EVENT_FLAGS_DISABLE
        elif not self.event_idx:
            self._driver_event[1] = RING_EVENT_FLAGS_ENABLE
        else:
            self._driver_event[0] = self._next_used | self._used_wrap << 15
            self._driver_event[1] = RING_EVENT_FLAGS_DESC

    @property
    def base(self) -> int:
        """As vhost-user has it: the available place and wrap in the lower half, the used ones in the upper."""
        used = self._next_used | self._used_wrap << 15
        return used | used << 16 if self._chains else self._available_base() | used << 16

    def _available_base(self) -> int:
        return self._next_avail | self._avail_wrap << 15

    @property
    def in_flight(self) -> int:
        return len(self._chains)


def make_ring(
    memory: GuestMemory, size: int, *, packed: bool = False, event_idx: bool = False
) -> Ring:
    """A ring of the layout asked for."""
    kind = PackedRing if packed else SplitRing
    return kind(memory, size, event_idx=event_idx)
