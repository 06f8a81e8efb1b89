# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Messages to bytes and back: a packet, or a line, of JSON with the message's name and its fields."""

import json
import socket
from collections.abc import Sequence
from typing import Any

from vgpud.link import rights
from vgpud.link.fields import LinkError, printable, structured
from vgpud.tree.messages import descriptors_of

PACKET_BYTES = 64 * 1024
LINE_BYTES = 2 * 1024 * 1024
# No message has more.
DESCRIPTORS_MAX = 8
ANCILLARY_BYTES = socket.CMSG_SPACE(DESCRIPTORS_MAX * 4)

Kinds = Sequence[type[Any]]


def encode(message: Any) -> bytes:
    """The line of a message: one line feed, at its end."""
    values = {name: printable(value) for name, value in message._asdict().items()}
    return json.dumps([type(message).__name__, values], separators=(",", ":")).encode() + b"\n"


def decode(data: bytes, kinds: Kinds) -> Any:
    """The message, of one of these kinds; ``LinkError`` for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise LinkError(f"not JSON: {error}") from None
    match found:
        case [str(name), dict(values)]:
            kind = next((kind for kind in kinds if kind.__name__ == name), None)
            if kind is not None:
                return structured(kind, values)
    raise LinkError(f"not a message of this link: {data[:80]!r}")


def send(end: socket.socket, message: Any, descriptors: Sequence[int] = ()) -> None:
    """Sends a packet with copies of the descriptors, without waiting; OSError, also
    BlockingIOError.
    """
    end.sendmsg([encode(message)], rights.pack(descriptors), socket.MSG_DONTWAIT)


def receive(end: socket.socket, kinds: Kinds) -> tuple[Any, list[int]] | None:
    """The next packet's message and its descriptors, which the caller owns; None at the end of the link.

    ``BlockingIOError`` when there is none yet, ``LinkError`` for anything but a message of these
    kinds.
    """
    return read_packet(
        end.recvmsg(PACKET_BYTES, ANCILLARY_BYTES, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC),
        kinds,
    )


def read_packet(
    packet: tuple[bytes, list[rights.Ancillary], int, Any], kinds: Kinds
) -> tuple[Any, list[int]] | None:
    """Likewise, from the result of recvmsg() for a packet."""
    data, ancillary, flags, _ = packet
    descriptors = rights.unpack(ancillary)
    try:
        return (_whole(data, flags, len(descriptors), kinds), descriptors) if data else None
    except LinkError:
        rights.close(descriptors)
        raise


def _whole(data: bytes, flags: int, descriptors: int, kinds: Kinds) -> Any:
    if flags & socket.MSG_CTRUNC:
        raise LinkError("descriptors were lost: too many are open")
    message = decode(data, kinds)
    if descriptors != descriptors_of(message):
        raise LinkError(f"{type(message).__name__} with {descriptors} descriptors")
    return message


class Lines:
    """Puts lines together from a pipe's bytes; ``LinkError`` for a line longer than ``limit``."""

    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._limit:
            raise LinkError("a line is too long")
        return lines
