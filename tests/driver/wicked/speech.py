# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What another process is told to send: bytes and descriptors for its ends, word by word.

A speech travels as lines of JSON, each a word.  A device process sends them here, when its guest
puts them into a command; a session does so in ``lying_session``.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import mmap
import os
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

MAGIC = struct.pack("<I", 0x0E72_0E72)
HEADER_BYTES = 24
F_ADD_SEALS, F_SEAL_SHRINK = 1033, 2  # linux/fcntl.h


class Word(NamedTuple):
    """``end`` is the speaker's name for it; ``data`` is hexadecimal; ``descriptors`` are kinds of
    ``MADE``. ``place`` is the position in a file, for an end that is a file.
    """

    end: str
    data: str
    descriptors: tuple[str, ...] = ()
    place: int = 0


def encode(words: Sequence[Word]) -> bytes:
    return "\n".join(json.dumps(word) for word in words).encode()


def decode(text: bytes) -> list[Word]:
    return [Word(*json.loads(line)) for line in text.splitlines()]


def _memory(size: int) -> int:
    made = os.memfd_create("said", os.MFD_CLOEXEC)
    os.ftruncate(made, size)
    return made


def _sealed_memory() -> int:
    made = os.memfd_create("said", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(made, 1 << 20)
    fcntl.fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK)
    return made


def _reading_end() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


def _channel() -> int:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    return theirs.detach()


def _session_state() -> int:
    from vgpud.native import lib

    return int(lib.session_state_create())


MADE: dict[str, Callable[[], int]] = {
    "session state": _session_state,
    "present channel": _channel,
    "event": lambda: os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK),
    "memory": lambda: _memory(1 << 20),
    "sealed memory": _sealed_memory,
    "no memory": lambda: _memory(0),
    "half a page": lambda: _memory(2048),
    "a pipe": _reading_end,
    "standard error": lambda: os.dup(2),
}


def prepare() -> None:
    """One of each, while they can still be made."""
    for kind, maker in list(MADE.items()):
        MADE[kind] = partial(os.dup, maker())


def make(kinds: Sequence[str]) -> list[int]:
    """As far as they can be made here."""
    made = []
    for kind in kinds:
        with contextlib.suppress(OSError):
            made.append(MADE[kind]())
    return made


def send(end: int, word: Word) -> None:
    """Without waiting, by number: making an object of a socket asks the kernel what it is, which may be forbidden."""
    made = make(word.descriptors)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", made))]
    speaking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=end)
    try:
        speaking.sendmsg([bytes.fromhex(word.data)], rights if made else [], socket.MSG_DONTWAIT)
    finally:
        speaking.detach()
        for one in made:
            os.close(one)


# --- a device process


def obey(device: Any, request: bytes) -> None:
    """Sends what the guest wants, if this is what it asks for."""
    if request[: len(MAGIC)] != MAGIC:
        return
    for word in decode(request[HEADER_BYTES:]):
        with contextlib.suppress(OSError):
            _DEVICE[word.end](device, word)


def _descriptors(is_kind: Callable[[int], bool]) -> list[int]:
    found = []
    for number in range(3, 256):
        with contextlib.suppress(OSError):
            if is_kind(os.fstat(number).st_mode):
                found.append(number)
    return found


def _to_channel(device: Any, word: Word) -> None:
    for end in _descriptors(stat.S_ISSOCK):
        if end != device.link.fileno():
            send(end, word)


def _file(word: Word) -> int:
    """One of those that are shared: session state, images, staging ring, guest memory."""
    files = _descriptors(stat.S_ISREG)
    return files[word.place % len(files)]


def _write(device: Any, word: Word) -> None:
    file = _file(word)
    size = os.fstat(file).st_size
    data, place = bytes.fromhex(word.data), (word.place >> 8) % max(size, 1)
    with mmap.mmap(file, 0) as mapped:
        mapped[place : place + len(data)] = data[: size - place]


_DEVICE: dict[str, Callable[[Any, Word], None]] = {
    "link": lambda device, word: send(device.link.fileno(), word),
    "channel": _to_channel,
    "write": _write,
    "cut": lambda device, word: os.ftruncate(_file(word), word.place >> 8),
    "end": lambda device, word: os._exit(word.place % 256),
}
