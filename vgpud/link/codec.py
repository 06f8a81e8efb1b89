# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Messages to bytes and back, with no input or output of its own.

A message is a header of four u32 (kind, length of the JSON text, length of the blob, number of
descriptors), the text and the blob.  A guest may have taken over a device process's renderer: so
the session bounds sizes before it keeps anything, and every field is checked against its declared
type.
"""

import json
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from struct import Struct
from typing import Any

from vgpud.link import rights
from vgpud.link.fields import LinkError, printable, structured
from vgpud.link.messages import KINDS, Message, descriptors_of, may_carry_descriptors

MAXIMUM_TEXT = 64 * 1024
MAXIMUM_BLOB = 16 * 1024 * 1024
HEADER = Struct("=4I")

_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


class LinkClosedError(LinkError):
    """The other side has gone."""


def encode(message: Message) -> bytes:
    """The bytes of a message; ``LinkError`` when it is larger than the other side would take."""
    values = {name: printable(value) for name, value in message._asdict().items()}
    blob = b"".join(values.pop(name) for name in _blobs(type(message)))
    text = json.dumps(values, separators=(",", ":")).encode()
    if len(text) > MAXIMUM_TEXT or len(blob) > MAXIMUM_BLOB:
        raise LinkError(f"{type(message).__name__} is too large: {len(text)} + {len(blob)} bytes")
    header = HEADER.pack(_NUMBERS[type(message)], len(text), len(blob), descriptors_of(message))
    return header + text + blob


def decode(kind: int, text: bytes, blob: bytes) -> Message:
    """The message of these parts; ``LinkError`` when a field is missing or of a wrong type."""
    message = KINDS[kind]
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LinkError(f"{message.__name__} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise LinkError(f"{message.__name__} is not an object: {values!r:.80}")
    values.update(dict.fromkeys(_blobs(message), blob))
    decoded: Message = structured(message, values)
    return decoded


class Decoder:
    """Puts together what arrives in pieces; owns every descriptor until it is handed on with its
    message.  ``accepted`` are the kinds that the other side may send.

    The kernel delivers descriptors with the first byte that they were sent with, and each message
    is sent with its own.  So never more are kept than one message may have, whatever is sent.
    """

    def __init__(self, accepted: Collection[type[Message]] = KINDS) -> None:
        self._accepted = frozenset(accepted)
        self._bytes = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Takes bytes, and the descriptors that came with them; :meth:`messages` is next."""
        self._bytes += data
        self._descriptors.extend(descriptors)

    def messages(self) -> Iterator[tuple[Message, list[int]]]:
        """Every complete message with its descriptors, which the caller owns from then on."""
        while (received := self._next()) is not None:
            yield received

    def _next(self) -> tuple[Message, list[int]] | None:
        if len(self._bytes) < HEADER.size:
            self._expect(rights.MAXIMUM_DESCRIPTORS if self._bytes else 0)
            return None
        kind, text, blob, count = self._header()
        start, end = HEADER.size + text, HEADER.size + text + blob
        if len(self._bytes) < end:
            self._expect(count)
            return None
        with memoryview(self._bytes) as view:
            message = decode(kind, bytes(view[HEADER.size : start]), bytes(view[start:end]))
        if count != descriptors_of(message) or count > len(self._descriptors):
            raise LinkError(f"{type(message).__name__} with {count} descriptors")
        del self._bytes[:end]
        return message, [self._descriptors.popleft() for _ in range(count)]

    def _header(self) -> tuple[int, int, int, int]:
        kind, text, blob, count = HEADER.unpack_from(self._bytes)
        if kind >= len(KINDS) or text > MAXIMUM_TEXT or blob > MAXIMUM_BLOB:
            raise LinkError(f"impossible header: kind {kind}, {text} + {blob} bytes")
        name = KINDS[kind].__name__
        if KINDS[kind] not in self._accepted:
            raise LinkError(f"the other side may not send {name}")
        if count > (rights.MAXIMUM_DESCRIPTORS if may_carry_descriptors(KINDS[kind]) else 0):
            raise LinkError(f"{name} with {count} descriptors")
        return kind, text, blob, count

    def _expect(self, count: int) -> None:
        """``LinkError`` when more descriptors have come."""
        if len(self._descriptors) > count:
            raise LinkError(
                f"{len(self._descriptors)} descriptors where {count} belong to a message"
            )

    def close(self) -> None:
        """Closes the descriptors that no message has claimed."""
        rights.close(self._descriptors)
        self._descriptors.clear()


def _blobs(kind: type[Any]) -> tuple[str, ...]:
    return tuple(name for name, declared in kind.__annotations__.items() if declared is bytes)
