# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a program's driver has sent: a list of events, in a compressed file of JSON lines."""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

RECORDED = Path(__file__).with_name("frames.xz")


@dataclass(frozen=True)
class Event:
    """``KIND``: its name in the file."""

    KIND: ClassVar[str]


@dataclass(frozen=True)
class Create(Event):
    """RESOURCE_CREATE_BLOB of memory of the host's, and what follows it: attaching, mapping."""

    KIND: ClassVar[str] = "create"
    resource_id: int
    blob_mem: int
    blob_flags: int
    size: int
    blob_id: int


@dataclass(frozen=True)
class Unref(Event):
    KIND: ClassVar[str] = "unref"
    resource_id: int


@dataclass(frozen=True)
class Submit(Event):
    """SUBMIT_3D; ``data``: the stream."""

    KIND: ClassVar[str] = "submit"
    data: bytes


@dataclass(frozen=True)
class MakeRing(Event):
    """The stream before this has made it."""

    KIND: ClassVar[str] = "ring"
    ring_id: int
    resource_id: int
    head: int
    tail: int
    status: int
    buffer: int
    size: int


@dataclass(frozen=True)
class Commands(Event):
    """Commands in the ring that lies in a blob."""

    KIND: ClassVar[str] = "commands"
    resource_id: int
    data: bytes


@dataclass(frozen=True)
class Poll(Event):
    """Commands that ask for a fence's status, again and again until it has passed; where the reply is."""

    KIND: ClassVar[str] = "poll"
    resource_id: int
    data: bytes
    reply_id: int
    reply_offset: int


@dataclass(frozen=True)
class Write(Event):
    """What the program has written into a blob."""

    KIND: ClassVar[str] = "write"
    resource_id: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Frame(Event):
    """The end of a frame."""

    KIND: ClassVar[str] = "frame"


@dataclass(frozen=True)
class Expect(Event):
    """What the worker has left in a blob: `digest` of it."""

    KIND: ClassVar[str] = "expect"
    resource_id: int
    data: bytes


KINDS: dict[str, type[Event]] = {
    kind.KIND: kind
    for kind in (Create, Unref, Submit, MakeRing, Commands, Poll, Write, Frame, Expect)
}


def digest(memory: memoryview) -> bytes:
    return hashlib.sha256(memory).digest()


def _line(event: Event) -> str:
    fields: dict[str, Any] = asdict(event)
    if "data" in fields:
        fields["data"] = fields["data"].hex()
    return json.dumps([event.KIND, fields])


def _event(line: str) -> Event:
    kind, fields = json.loads(line)
    if "data" in fields:
        fields["data"] = bytes.fromhex(fields["data"])
    return KINDS[kind](**fields)


def save(path: Path, events: list[Event]) -> None:
    text = "".join(f"{_line(event)}\n" for event in events)
    path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def load(path: Path = RECORDED) -> list[Event]:
    return [_event(line) for line in lzma.decompress(path.read_bytes()).decode().splitlines()]
