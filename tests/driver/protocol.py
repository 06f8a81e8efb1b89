# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Framing that vhost-user and the display socket share: a header of request, flags, size, then the payload."""

import array
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

HEADER: Final = struct.Struct("=III")
MAX_DESCRIPTORS: Final = 253


class DisconnectedError(Exception):
    """The other side closed the socket."""


@dataclass(frozen=True)
class Message:
    """One message, with the descriptors that came along (the receiver's to close)."""

    request: int
    flags: int
    payload: bytes
    fds: tuple[int, ...] = ()

    @property
    def u64(self) -> int:
        return int(struct.unpack("=Q", self.payload)[0])


def send_message(
    connection: socket.socket,
    request: int,
    flags: int,
    payload: bytes = b"",
    fds: tuple[int, ...] = (),
) -> None:
    """Sends a whole message; descriptors go with its first byte."""
    data = HEADER.pack(request, flags, len(payload)) + payload
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sent = connection.sendmsg([data], ancillary)
        connection.sendall(data[sent:])
    except (BrokenPipeError, ConnectionResetError) as error:
        raise DisconnectedError from error


def receive_message(connection: socket.socket) -> Message:
    """The next message, or DisconnectedError; socket.timeout when the socket's time limit has passed."""
    fds: list[int] = []
    raw = _receive_with_descriptors(connection, HEADER.size, fds)
    request, flags, size = HEADER.unpack(raw)
    return Message(request, flags, receive_exactly(connection, size), tuple(fds))


def _receive_with_descriptors(connection: socket.socket, length: int, fds: list[int]) -> bytes:
    room = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)
    try:
        data, ancillary, _, _ = connection.recvmsg(length, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError as error:
        raise DisconnectedError from error
    for level, kind, body in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds += array.array("i", body[: len(body) - len(body) % 4])
    if not data:
        raise DisconnectedError
    return data + receive_exactly(connection, length - len(data))


def receive_exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    receive_into(connection, memoryview(data))
    return bytes(data)


def receive_into(connection: socket.socket, room: memoryview) -> None:
    """Fills ``room``."""
    while room:
        try:
            count = connection.recv_into(room)
        except ConnectionResetError as error:
            raise DisconnectedError from error
        if count == 0:
            raise DisconnectedError
        room = room[count:]


def close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
