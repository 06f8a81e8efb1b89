# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process that says anything to its session, and writes anything into what both share."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.driver import commands, hostile_device
from tests.driver.frontend import QEMU_PROTOCOL, Protocol
from tests.driver.gpu import CommandFailedError
from tests.driver.hostile_vmm import ENDED, HostileVmm
from tests.driver.memory import PAGE, OutOfGuestMemoryError
from tests.driver.queue import NoResponseError
from tests.driver.rings import RingFullError
from tests.driver.shared_region import SharedRegion
from tests.driver.wicked.speech import Word
from vgpud.link.codec import encode
from vgpud.link.fields import LinkError
from vgpud.link.messages import (
    FROM_DEVICE,
    FROM_SESSION,
    HostBlobCreated,
    MapBlob,
    Message,
    ResourceGone,
    UnmapBlob,
    descriptors_of,
)

from .liar import Liar
from .values import BYTES, NUMBERS, SMALL, U32, message, spoilt

KINDS = ("memory", "sealed memory", "no memory", "half a page", "a pipe", "event")
WORTHLESS = (NoResponseError, CommandFailedError, OutOfGuestMemoryError, RingFullError, *ENDED)
# How long an answer of a running device process may take.
SECONDS = 0.5
RECORDS = st.tuples(st.integers(0, 12), st.lists(U32, min_size=13, max_size=13), NUMBERS)
SHARED = st.builds(lambda file, place: file | place << 8, SMALL, st.integers(0, 1 << 22))


def _said(said: Message, more: int, kinds: list[str], change: bytes) -> Word:
    """With the descriptors that belong to it, or one more or less."""
    try:
        data = encode(said)
    except LinkError:
        data = change
    count = max(0, descriptors_of(said) + more)
    return Word("link", data.hex(), tuple((kinds * count)[:count]))


MESSAGES = st.one_of(*map(message, FROM_DEVICE))
# Also those of the other direction, which no honest device process sends.
ANY_MESSAGES = st.integers(0, 9).flatmap(
    lambda choice: MESSAGES if choice else st.one_of(*map(message, FROM_SESSION))
)
WORDS = st.builds(
    _said,
    ANY_MESSAGES,
    st.sampled_from([0, 0, 0, 0, 1, -1]),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
    BYTES,
)


PAGES = st.one_of(st.integers(1, 8), SMALL, st.integers(0, 300))
FILES = st.sampled_from(["sealed memory", "sealed memory", "sealed memory", *KINDS])


class Device(Liar):
    """One machine after the other, whose guest has taken over its device process.  Its VMM has a shared memory region."""

    def __init__(self) -> None:
        super().__init__()
        self.vmm: HostileVmm | None = None
        self.region: SharedRegion | None = None
        self.refuses = False
        self.owned.callback(self.leave)

    def leave(self) -> None:
        region, self.region = self.region, None
        vmm, self.vmm = self.vmm, None
        if region is not None:
            region.__exit__(None, None, None)
        if vmm is not None:
            vmm.close()

    @initialize()
    def comes(self) -> None:
        self.refuses = False
        self.vmm = HostileVmm(
            self.house.socket_path, seconds=SECONDS, protocol=QEMU_PROTOCOL | Protocol.SHMEM
        )
        with contextlib.suppress(*WORTHLESS):
            self.vmm.start()
        if self.vmm.frontend.shared_regions:
            self.region = SharedRegion(
                self.vmm.frontend, answer=lambda asked: int(self.refuses)
            ).__enter__()

    def say(self, *words: Word) -> None:
        """Sends it in one go; nothing if the process has gone by then."""
        vmm = self.vmm
        assert vmm is not None
        with contextlib.suppress(*WORTHLESS):
            vmm.guest.wait(hostile_device.speak(vmm.guest, words))

    @rule()
    def another_comes(self) -> None:
        self.leave()
        self.comes()

    @rule(words=st.lists(WORDS, min_size=1, max_size=4))
    def says_to_its_session(self, words: list[Word]) -> None:
        self.say(*words)

    @rule(word=WORDS, other=spoilt(BYTES))
    def says_what_is_no_message(self, word: Word, other: bytes) -> None:
        data = bytes.fromhex(word.data)
        self.say(word._replace(data=(data[: len(data) // 2] + other).hex()))

    @rule(data=st.data())
    def says_what_is_nearly_one(self, data: st.DataObject) -> None:
        word = data.draw(WORDS)
        self.say(word._replace(data=data.draw(spoilt(st.just(bytes.fromhex(word.data)))).hex()))

    @rule(record=RECORDS, kinds=st.lists(st.sampled_from(KINDS), max_size=2))
    def has_something_presented(self, record: tuple[int, list[int], int], kinds: list[str]) -> None:
        kind, numbers, last = record
        data = struct.pack("=14IQ", kind, *numbers, last)
        self.say(Word("channel", data.hex(), tuple(kinds)))

    @rule(place=SHARED, data=BYTES)
    def writes_into_what_is_shared(self, place: int, data: bytes) -> None:
        self.say(Word("write", data.hex(), (), place))

    @rule(place=SHARED)
    def cuts_what_is_shared(self, place: int) -> None:
        self.say(Word("cut", "", (), place))

    @rule(maps=st.lists(st.tuples(SMALL, PAGES, PAGES, PAGES, FILES), max_size=6))
    def has_files_mapped(self, maps: list[tuple[int, int, int, int, str]]) -> None:
        self.say(
            *(
                Word(
                    "link",
                    encode(MapBlob(1, resource, page * PAGE, pages * PAGE, place * PAGE)).hex(),
                    (kind,),
                )
                for resource, page, pages, place, kind in maps
            )
        )

    @rule(resource=SMALL)
    def has_it_unmapped(self, resource: int) -> None:
        self.say(Word("link", encode(UnmapBlob(1, resource)).hex()))

    @rule(resource=SMALL, size=NUMBERS)
    def makes_a_blob_and_forgets_it(self, resource: int, size: int) -> None:
        made = HostBlobCreated(resource, size)
        self.say(*[Word("link", encode(one).hex()) for one in (made, ResourceGone(resource))])

    @rule()
    def its_vmm_refuses_from_now_on(self) -> None:
        self.refuses = not self.refuses

    @rule(status=SMALL)
    def ends(self, status: int) -> None:
        self.say(Word("end", "", (), status))

    @rule(side=st.integers(1, 64))
    def draws(self, side: int) -> None:
        """As its guest, honestly."""
        assert self.vmm is not None
        guest = self.vmm.guest
        with contextlib.suppress(*WORTHLESS):
            picture = guest.create_2d(side, side)
            guest.show(picture)
            guest.update_cursor(picture, 1, 1)

    @rule(scanout=SMALL)
    def asks_its_display(self, scanout: int) -> None:
        assert self.vmm is not None
        with contextlib.suppress(*WORTHLESS):
            self.vmm.guest.submit(commands.get_edid(scanout), commands.EDID_SIZE)

    @rule(command=st.sampled_from(["status", "screen"]))
    def is_asked_about(self, command: str) -> None:
        if command == "status":
            self.ask("status")
            return
        for name in self.house.tree.machines():
            if name != self.house.name:
                self.ask(command, machine=name)
