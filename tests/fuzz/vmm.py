# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A VMM that says anything, in any order, about any memory, and leaves when it likes."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.driver.descriptors import KINDS, SILENT_FILE, Hands
from tests.driver.frontend import FLAG_NEED_REPLY, QEMU_FEATURES, QEMU_PROTOCOL, VERSION, Request
from tests.driver.hostile_vmm import ENDED, HostileVmm
from tests.driver.memory import PAGE, MiB
from tests.driver.protocol import HEADER

from .liar import Liar
from .values import ADDRESSES, BYTES, NUMBERS, SIZES, SMALL, U32

# One that never answers would hang the session, as it may, until it lets go: a test of its own.
DESCRIPTORS = [kind for kind in KINDS if kind != SILENT_FILE and not kind.startswith("another")]
FILES = {
    "one page": PAGE,
    "some pages": 16 * PAGE,
    "no whole page": PAGE + 100,
    "sparse": 1 << 40,
    "empty": 0,
}
MEMORY = st.one_of(st.sampled_from(list(FILES)), st.sampled_from(list(FILES) + DESCRIPTORS))
REGIONS = st.tuples(ADDRESSES, SIZES, ADDRESSES, st.one_of(st.just(0), SIZES))
REQUESTS = st.one_of(st.sampled_from(list(Request)), U32)
FLAGS = st.one_of(
    st.just(VERSION | FLAG_NEED_REPLY), st.sampled_from([VERSION, 0, VERSION | 4]), U32
)
RINGS = st.one_of(st.sampled_from([0, 1]), U32)
VRING_STATES = (
    Request.SET_VRING_NUM,
    Request.SET_VRING_BASE,
    Request.GET_VRING_BASE,
    Request.SET_VRING_ENABLE,
)
VRING_DESCRIPTORS = (Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR)

Region = tuple[int, int, int, int]


class Vmm(Liar):
    """One connection after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.hands = self.owned.enter_context(Hands())
        self.vmm = HostileVmm(self.house.socket_path, seconds=1.0)
        self.owned.callback(lambda: self.vmm.close())
        self.given: list[tuple[Region, int]] = []
        self.shrunk = False  # the guest's own memory, which is mapped here too
        self.ended = False
        self.rest = b""

    def come(self, works: bool, display: bool) -> None:
        """As an honest one would, if it works."""
        self.vmm.close()
        self.given, self.shrunk, self.ended, self.rest = [], False, False, b""
        self.vmm = HostileVmm(self.house.socket_path, seconds=1.0)
        self.hands.own = self.vmm.own
        if works:
            with contextlib.suppress(*ENDED):
                self.vmm.start(with_display=display)

    def say(
        self,
        request: int,
        payload: bytes,
        descriptors: Sequence[int] = (),
        flags: int = VERSION | FLAG_NEED_REPLY,
    ) -> None:
        """And hears what comes of it, for a moment."""
        self.be_there()
        self.vmm.message(request, payload, descriptors, flags)
        self.hands.between()
        self.hands.after()
        self.ended = self.vmm.outcome(0.01) == "the end"

    def be_there(self) -> None:
        """Again, when it has left or was shown the door."""
        if self.ended:
            self.come(works=True, display=True)

    def descriptor(self, kind: str) -> int:
        self.be_there()
        if kind in KINDS:
            return KINDS[kind](self.hands)
        found = self.hands.hold(os.memfd_create(kind, os.MFD_CLOEXEC))
        os.ftruncate(found, FILES[kind])
        return found

    def note(self, region: Region, kind: str, descriptor: int) -> None:
        """What is given and no file may not stay open."""
        if kind in FILES:
            self.given.append((region, descriptor))

    # --- coming and going

    @initialize(works=st.booleans(), display=st.booleans())
    def begins(self, works: bool, display: bool) -> None:
        self.come(works, display)

    @rule(works=st.booleans(), display=st.booleans())
    def comes_again(self, works: bool, display: bool) -> None:
        self.come(works, display)

    @rule(times=st.integers(1, 20))
    def leaves_while_it_is_asked_about(self, times: int) -> None:
        self.vmm.leave()
        for _ in range(times):
            self.ask("status", timeout=0.01)
        self.ended = True

    @rule(command=st.sampled_from(["screen", "set-display"]))
    def is_asked_about(self, command: str) -> None:
        others = [name for name in self.house.tree.machines() if name != self.house.name]
        for name in others[-1:]:
            self.ask(command, machine=name)

    # --- words

    @rule(
        request=REQUESTS,
        payload=BYTES,
        kinds=st.lists(st.sampled_from(DESCRIPTORS), max_size=3),
        flags=FLAGS,
    )
    def says_anything(self, request: int, payload: bytes, kinds: list[str], flags: int) -> None:
        self.say(request, payload, [self.descriptor(kind) for kind in kinds], flags)

    @rule(request=REQUESTS, payload=BYTES, size=U32)
    def claims_another_size(self, request: int, payload: bytes, size: int) -> None:
        self.be_there()
        self.vmm.message(request, payload, size=size)

    @rule(request=REQUESTS, numbers=st.lists(NUMBERS, max_size=6), at=SMALL)
    def says_half(self, request: int, numbers: list[int], at: int) -> None:
        payload = struct.pack(f"={len(numbers)}Q", *numbers)
        data = HEADER.pack(request, VERSION, len(payload)) + payload
        self.be_there()
        self.vmm.raw(self.rest + data[:at])
        self.rest = data[at:]

    @rule()
    def says_the_other_half(self) -> None:
        self.be_there()
        self.vmm.raw(self.rest)
        self.rest = b""

    @rule(features=st.one_of(st.just(int(QEMU_FEATURES)), st.integers(0, 63).map(lambda n: 1 << n)))
    def negotiates(self, features: int) -> None:
        self.say(Request.SET_FEATURES, struct.pack("=Q", features))

    @rule(features=st.one_of(st.just(int(QEMU_PROTOCOL)), NUMBERS))
    def negotiates_the_protocol(self, features: int) -> None:
        self.say(Request.SET_PROTOCOL_FEATURES, struct.pack("=Q", features))

    @rule(request=st.sampled_from(VRING_STATES), ring=RINGS, number=U32)
    def sets_a_ring_s_state(self, request: int, ring: int, number: int) -> None:
        self.say(request, struct.pack("=II", ring, number))

    @rule(
        ring=RINGS,
        flags=st.sampled_from([0, 1, 2, 2**32 - 1]),
        places=st.lists(ADDRESSES, min_size=4, max_size=4),
    )
    def moves_a_ring(self, ring: int, flags: int, places: list[int]) -> None:
        self.say(Request.SET_VRING_ADDR, struct.pack("=II4Q", ring, flags, *places))

    @rule(request=st.sampled_from(VRING_DESCRIPTORS), ring=RINGS, kind=st.sampled_from(DESCRIPTORS))
    def gives_a_ring_a_descriptor(self, request: int, ring: int, kind: str) -> None:
        self.say(request, struct.pack("=Q", ring), [self.descriptor(kind)])

    @rule()
    def starts_as_it_should(self) -> None:
        """Whatever was before."""
        self.be_there()
        if not self.shrunk:
            with contextlib.suppress(*ENDED):
                self.vmm.start()

    # --- memory

    @rule(region=REGIONS, kind=MEMORY)
    def adds_memory(self, region: Region, kind: str) -> None:
        descriptor = self.descriptor(kind)
        self.note(region, kind, descriptor)
        self.say(Request.ADD_MEM_REG, bytes(8) + struct.pack("=4Q", *region), [descriptor])

    @rule(page=st.integers(0, 64), pages=st.integers(1, 16))
    def adds_good_memory(self, page: int, pages: int) -> None:
        region = ((1 << 40) + page * PAGE, pages * PAGE, (1 << 41) + page * PAGE, 0)
        self.adds_memory(region, "some pages")

    @rule(which=SMALL, other=st.one_of(st.none(), REGIONS))
    def removes_memory(self, which: int, other: Region | None) -> None:
        region = other or (1 << 20, 2 * MiB, 0, 0)
        if self.given and other is None:
            region, _ = self.given.pop(which % len(self.given))
        self.say(Request.REM_MEM_REG, bytes(8) + struct.pack("=4Q", *region))

    @rule(
        regions=st.lists(REGIONS, max_size=9),
        kinds=st.lists(MEMORY, max_size=9),
        count=st.one_of(st.none(), U32),
    )
    def replaces_memory(self, regions: list[Region], kinds: list[str], count: int | None) -> None:
        descriptors = [self.descriptor(kind) for kind in kinds]
        self.given.clear()
        for region, kind, descriptor in zip(regions, kinds, descriptors, strict=False):
            self.note(region, kind, descriptor)
        claimed = len(regions) if count is None else count
        payload = struct.pack("=II", claimed, 0) + b"".join(
            struct.pack("=4Q", *region) for region in regions
        )
        self.say(Request.SET_MEM_TABLE, payload, descriptors)

    @rule(size=SIZES, offset=SIZES, kind=MEMORY)
    def logs_what_is_written(self, size: int, offset: int, kind: str) -> None:
        self.say(Request.SET_LOG_BASE, struct.pack("=QQ", size, offset), [self.descriptor(kind)])
        self.say(Request.SET_FEATURES, struct.pack("=Q", int(QEMU_FEATURES) | 1 << 26))

    @rule(which=SMALL, size=st.one_of(st.just(0), st.integers(0, 2 * MiB)))
    def cuts_a_file(self, which: int, size: int) -> None:
        """What it has given, or the guest's own memory."""
        files = [self.vmm.memory.regions[0].fd, *(file for _, file in self.given)]
        file = files[which % len(files)]
        self.shrunk = self.shrunk or file == files[0]
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        self.vmm.guest.control.kick()
        self.vmm.guest.cursor.kick()

    # --- a guest

    @rule(offset=st.integers(0, 8 * PAGE), data=st.binary(min_size=1, max_size=64))
    def scribbles_over_rings(self, offset: int, data: bytes) -> None:
        os.pwrite(self.vmm.memory.regions[0].fd, data, offset)
        self.vmm.guest.control.kick()
        self.vmm.guest.cursor.kick()

    @rule()
    def works(self) -> None:
        if not self.shrunk:
            self.vmm.work()

    # --- a display, and the backend's channel

    @rule(data=BYTES, reply=st.booleans())
    def says_anything_as_a_display(self, data: bytes, reply: bool) -> None:
        if reply:
            data = HEADER.pack(len(data) % 14, 4, len(data)) + data
        with contextlib.suppress(OSError):
            self.vmm.display.send(data)
        channel = self.vmm.frontend.backend_channel
        if channel is not None:
            with contextlib.suppress(OSError):
                channel.send(data)

    @rule(whole=st.booleans())
    def ends_its_display(self, whole: bool) -> None:
        with contextlib.suppress(OSError):
            self.vmm.display.shutdown(2 if whole else 0)
