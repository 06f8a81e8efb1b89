# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session that says anything to daemon, spawner and its device process."""

from __future__ import annotations

import contextlib
import json
import socket

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.driver.wicked.lying_session import MAGIC, SERIAL
from tests.driver.wicked.speech import MADE, Word
from tests.driver.wicked.speech import encode as speech
from vgpud.config.schema import Config
from vgpud.link import codec as link
from vgpud.link.fields import LinkError
from vgpud.link.messages import FROM_SESSION as TO_DEVICE
from vgpud.link.messages import Message, Start, descriptors_of
from vgpud.session.start_up import start_message
from vgpud.tree import codec
from vgpud.tree.messages import FROM_SESSION, FROM_SPAWNER, GRANTS, TO_SPAWNER, Pong, Report

from .liar import Liar
from .values import BYTES, NUMBERS, SMALL, TEXTS, message, spoilt

REPORTS = st.one_of(*map(message, FROM_SESSION)).map(codec.encode)
OTHER_LINES = st.one_of(*map(message, (*FROM_SPAWNER, *TO_SPAWNER))).map(codec.encode)
ANSWERS = st.one_of(message(Report), message(Pong)).map(
    lambda answer: codec.encode(answer._replace(serial=SERIAL))
)
LEVELS = st.one_of(st.sampled_from(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]), TEXTS)
RECORDS = st.fixed_dictionaries(
    {"level": LEVELS, "module": TEXTS, "message": TEXTS, "extra": st.dictionaries(TEXTS, TEXTS)},
    optional={"exception": TEXTS, "session": TEXTS},
).map(lambda record: json.dumps(record).encode() + b"\n")
DESCRIPTORS = st.lists(st.sampled_from(list(MADE)), max_size=3)
BEGINNING = (start_message(Config(), vulkan=False), ("session state", "present channel"))


def _to_device(said: Message, kinds: list[str], more: int) -> Word:
    try:
        data = link.encode(said)
    except LinkError:
        data = b"too large"
    wanted = max(0, descriptors_of(said) + more)
    given = [*kinds, *["memory"] * wanted][:wanted]
    return Word("link", data.hex(), tuple(given))


TO_DEVICE_WORDS = st.builds(
    _to_device,
    st.one_of(*[message(kind) for kind in TO_DEVICE if kind is not Start]),
    DESCRIPTORS,
    st.sampled_from([0, 0, 0, 0, 1, -1]),
)


class Session(Liar):
    """One machine after the other, whose session was taken over by its VMM."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: socket.socket | None = None
        self.owned.callback(self.leave)

    def leave(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    @initialize()
    def comes(self) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.connect(str(self.house.socket_path))
        self.connection.setblocking(False)
        with contextlib.suppress(OSError):
            self.connection.send(MAGIC)

    def say(self, *words: Word) -> None:
        assert self.connection is not None
        try:
            self.connection.send(speech(words) + b"\n")
        except BlockingIOError:
            return
        except OSError:
            # The daemon has had enough of it.
            self.leave()
            self.comes()

    @rule()
    def another_comes(self) -> None:
        self.leave()
        self.comes()

    @rule(lines=st.lists(spoilt(st.one_of(REPORTS, REPORTS, OTHER_LINES)), max_size=5))
    def reports(self, lines: list[bytes]) -> None:
        self.say(*[Word("reports", line.hex()) for line in lines])

    @rule(data=BYTES)
    def reports_what_is_none(self, data: bytes) -> None:
        self.say(Word("reports", data.hex()))

    @rule(answer=spoilt(ANSWERS), machine=st.sampled_from(["status", "screen"]))
    def answers(self, answer: bytes, machine: str) -> None:
        """The daemon, which asks when somebody asks it."""
        self.ask("status", timeout=0.01)
        self.say(Word("answer", answer.hex()))

    @rule(record=spoilt(st.one_of(RECORDS, BYTES)))
    def logs(self, record: bytes) -> None:
        self.say(Word("log", record.hex()))

    @rule(
        wishes=st.one_of(
            st.binary(max_size=20), st.lists(st.sampled_from([b"D", b"K"])).map(b"".join)
        )
    )
    def wishes(self, wishes: bytes) -> None:
        self.say(Word("wishes", wishes.hex()))

    @rule(
        end=st.sampled_from(["orders", "grants"]),
        said=st.one_of(OTHER_LINES, BYTES),
        kinds=DESCRIPTORS,
    )
    def speaks_upwards_where_nobody_listens(self, end: str, said: bytes, kinds: list[str]) -> None:
        self.say(Word(end, said.hex(), tuple(kinds)))

    @rule(grant=st.one_of(*map(message, GRANTS)).map(codec.encode))
    def forges_a_grant(self, grant: bytes) -> None:
        self.say(Word("grants", grant.hex(), ("event", "event")))

    @rule()
    def has_a_device(self) -> None:
        start, kinds = BEGINNING
        self.say(
            Word("life", ""), Word("device", ""), Word("link", link.encode(start).hex(), kinds)
        )

    @rule(words=st.lists(TO_DEVICE_WORDS, min_size=1, max_size=4))
    def says_to_its_device(self, words: list[Word]) -> None:
        self.say(*words)

    @rule(start=message(Start), kinds=DESCRIPTORS)
    def starts_a_device_otherwise(self, start: Start, kinds: list[str]) -> None:
        self.say(Word("life", ""), Word("device", ""), _to_device(start, kinds, 0))

    @rule(word=TO_DEVICE_WORDS, number=NUMBERS)
    def says_what_is_nearly_a_message(self, word: Word, number: int) -> None:
        data = bytearray.fromhex(word.data)
        data[number % len(data)] ^= 1 << number % 8
        self.say(word._replace(data=data.hex()))

    @rule(which=st.sampled_from(["orders", "reports", "grants", "wishes", "log"]))
    def closes_an_end(self, which: str) -> None:
        self.say(Word("close", which.encode().hex()))

    @rule(status=SMALL)
    def ends(self, status: int) -> None:
        self.say(Word("end", "", (), status))

    @rule(command=st.sampled_from(["screen", "set-display"]))
    def is_handed_a_client(self, command: str) -> None:
        for name in self.house.tree.machines():
            if name != self.house.name:
                self.ask(command, timeout=0.05, machine=name)
