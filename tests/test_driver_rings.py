# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The driver's rings against the smallest device that follows the specification."""

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.driver.memory import BadGuestAddressError, GuestMemory, MiB, Scattered
from tests.driver.rings import (
    PACKED_DESC_F_AVAIL,
    PACKED_DESC_F_USED,
    VIRTQ_DESC_F_INDIRECT,
    VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
    PackedRing,
    RingFullError,
    SplitRing,
    make_ring,
)

SIZE = 8


@dataclass
class Chain:
    id: int
    count: int
    readable: list[tuple[int, int]]
    writable: list[tuple[int, int]]

    def add(self, address: int, length: int, flags: int) -> None:
        kind = self.writable if flags & VIRTQ_DESC_F_WRITE else self.readable
        kind.append((address, length))


class SplitDevice:
    def __init__(self, ring: SplitRing) -> None:
        self.ring = ring
        self.seen = ring.last_used_idx
        self.used_idx = ring.last_used_idx

    def _descriptor(self, table: int, index: int) -> tuple[int, int, int, int]:
        raw = self.ring.memory.read(table + 16 * index, 16)
        address, length, flags, following = struct.unpack("<QIHH", raw)
        return address, length, flags, following

    def take(self) -> Chain | None:
        words = self.ring.available_words
        if words[1] == self.seen:
            return None
        head = words[2 + self.seen % self.ring.size]
        self.seen = (self.seen + 1) & 0xFFFF
        chain = Chain(head, 0, [], [])
        self._walk(chain, self.ring.descriptor, head)
        return chain

    def _walk(self, chain: Chain, table: int, index: int) -> None:
        while True:
            address, length, flags, following = self._descriptor(table, index)
            if flags & VIRTQ_DESC_F_INDIRECT:
                self._walk(chain, address, 0)
                return
            chain.add(address, length, flags)
            if not flags & VIRTQ_DESC_F_NEXT:
                return
            index = following

    def give_back(self, chain: Chain, written: int) -> None:
        place = self.ring.used + 4 + 8 * (self.used_idx % self.ring.size)
        self.ring.memory.write(place, struct.pack("<II", chain.id, written))
        self.used_idx = (self.used_idx + 1) & 0xFFFF
        self.ring.memory.write(self.ring.used + 2, struct.pack("<H", self.used_idx))


class PackedDevice:
    def __init__(self, ring: PackedRing) -> None:
        self.ring = ring
        self.next, self.wrap = 0, True
        self.next_used, self.used_wrap = 0, True

    def _descriptor(self, address: int) -> tuple[int, int, int, int]:
        raw = self.ring.memory.read(address, 16)
        where, length, buffer_id, flags = struct.unpack("<QIHH", raw)
        return where, length, buffer_id, flags

    def take(self) -> Chain | None:
        chain = Chain(0, 0, [], [])
        while True:
            address, length, buffer_id, flags = self._descriptor(
                self.ring.descriptor + 16 * self.next
            )
            available, used = bool(flags & PACKED_DESC_F_AVAIL), bool(flags & PACKED_DESC_F_USED)
            if available == used or available != self.wrap:
                assert chain.count == 0
                return None
            chain.count += 1
            self.next += 1
            if self.next == self.ring.size:
                self.next, self.wrap = 0, not self.wrap
            if flags & VIRTQ_DESC_F_INDIRECT:
                for offset in range(0, length, 16):
                    where, size, _, inner = self._descriptor(address + offset)
                    chain.add(where, size, inner)
            else:
                chain.add(address, length, flags)
            if not flags & VIRTQ_DESC_F_NEXT:
                chain.id = buffer_id
                return chain

    def give_back(self, chain: Chain, written: int) -> None:
        flags = VIRTQ_DESC_F_WRITE
        flags |= (PACKED_DESC_F_AVAIL | PACKED_DESC_F_USED) if self.used_wrap else 0
        place = self.ring.descriptor + 16 * self.next_used
        self.ring.memory.write(place, struct.pack("<QIHH", 0, written, chain.id, flags))
        self.next_used += chain.count
        if self.next_used >= self.ring.size:
            self.next_used, self.used_wrap = self.next_used - self.ring.size, not self.used_wrap


CHAINS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()).filter(
    lambda c: c[0] + c[1]
)


@pytest.mark.parametrize("packed", [False, True])
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(CHAINS | st.integers(0, 7), max_size=80), base=st.sampled_from([0, 0xFFFA]))
def test_every_chain_comes_back_once_with_what_the_device_saw(
    packed: bool, steps: list[tuple[int, int, bool] | int], base: int
) -> None:
    """A tuple adds a chain; a number has the device take all and give one of those that it holds back, in any order."""
    memory = GuestMemory(4 * MiB)
    device: SplitDevice | PackedDevice
    if packed:
        ring: SplitRing | PackedRing = PackedRing(memory, SIZE)
        assert isinstance(ring, PackedRing)
        device = PackedDevice(ring)
    else:
        ring = SplitRing(memory, SIZE, base=base)
        device = SplitDevice(ring)
    expected: dict[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {}
    held: list[Chain] = []
    for step in steps:
        if isinstance(step, tuple):
            readable = [(0x1000 * (index + 1), 10 + index) for index in range(step[0])]
            writable = [(0x9000 * (index + 1), 20 + index) for index in range(step[1])]
            try:
                expected[ring.add(readable, writable, indirect=step[2])] = readable, writable
            except RingFullError:
                assert held or ring.in_flight
            continue
        while chain := device.take():
            assert (chain.readable, chain.writable) == expected[chain.id]
            held.append(chain)
        if held:
            chain = held.pop(step % len(held))
            device.give_back(chain, 5)
            (used,) = ring.collect()
            assert (used.id, used.length) == (chain.id, 5)
            del expected[used.id]
    assert ring.in_flight == len(expected)
    memory.close()


@pytest.mark.parametrize("packed", [False, True])
def test_unpublished_chains_are_not_seen(packed: bool) -> None:
    memory = GuestMemory(1 * MiB)
    ring = make_ring(memory, SIZE, packed=packed)
    device = PackedDevice(ring) if isinstance(ring, PackedRing) else SplitDevice(ring)  # type: ignore[arg-type]
    ring.add([(0x1000, 4)], [(0x2000, 4)], publish=False)
    ring.add([(0x3000, 4)], [], publish=False)
    assert device.take() is None
    ring.publish()
    first, second = device.take(), device.take()
    assert first is not None
    assert second is not None
    assert second.readable == [(0x3000, 4)]
    memory.close()


def test_user_addresses_are_not_guest_addresses_at_any_fixed_distance() -> None:
    memory = GuestMemory(1 * MiB, 1 * MiB)
    first, second = memory.regions
    distances = {region.user_address - region.guest_address for region in (first, second)}
    assert len(distances) == 2
    assert memory.user_address(second.guest_address + 5) == second.user_address + 5
    memory.close()


def test_a_range_across_two_regions_is_refused() -> None:
    memory = GuestMemory(1 * MiB)
    memory.add(memory.regions[0].guest_address + MiB, MiB)
    with pytest.raises(BadGuestAddressError):
        memory.read(memory.regions[0].guest_address + MiB - 4, 8)
    memory.close()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=10), st.data())
def test_a_scattered_buffer_reads_what_was_written(lengths: list[int], data: st.DataObject) -> None:
    memory = GuestMemory(1 * MiB)
    pieces = [(memory.allocate(length), length) for length in reversed(lengths)]
    total = sum(lengths)
    offset = data.draw(st.integers(0, total))
    content = data.draw(st.binary(max_size=total - offset))
    buffer = Scattered(memory, pieces)
    buffer.write(offset, content)
    assert buffer.read(0, total) == bytes(offset) + content + bytes(total - offset - len(content))
    memory.close()
