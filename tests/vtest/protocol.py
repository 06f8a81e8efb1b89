# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Mesa's vtest protocol, version 2 (resources in shared memory), as the server sees it.

A message is two words, a length and a command, and what follows; all are native u32.  The length counts words, except
that of CREATE_RENDERER, which counts bytes.
"""

import array
import socket
import struct
from enum import IntEnum
from typing import NamedTuple

VERSION = 2
HEADER = struct.Struct("=II")
WORD = 4


class Vcmd(IntEnum):
    GET_CAPS = 1
    RESOURCE_CREATE = 2
    RESOURCE_UNREF = 3
    TRANSFER_GET = 4
    TRANSFER_PUT = 5
    SUBMIT_CMD = 6
    RESOURCE_BUSY_WAIT = 7
    CREATE_RENDERER = 8
    GET_CAPS2 = 9
    PING_PROTOCOL_VERSION = 10
    PROTOCOL_VERSION = 11
    RESOURCE_CREATE2 = 12
    TRANSFER_GET2 = 13
    TRANSFER_PUT2 = 14


class ResourceCreate2(NamedTuple):
    """``data_size``: bytes of shared memory, whose descriptor the client gets; 0 for none."""

    res_handle: int
    target: int
    format: int
    bind: int
    width: int
    height: int
    depth: int
    array_size: int
    last_level: int
    nr_samples: int
    data_size: int


class ClientGoneError(Exception):
    """The client closed its socket."""


class ProtocolError(Exception):
    """The client said something that version 2 has not."""


class Client:
    """The server's end of a client's socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def receive_words(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"={count}I", self.receive(count * WORD))

    def receive(self, length: int) -> bytearray:
        data = bytearray(length)
        self.receive_into(memoryview(data))
        return data

    def receive_into(self, room: memoryview) -> None:
        """Fills ``room``."""
        while room:
            count = self.connection.recv_into(room)
            if count == 0:
                raise ClientGoneError
            room = room[count:]

    def send(
        self, command: int, payload: bytes | bytearray = b"", length: int | None = None
    ) -> None:
        """A message; ``length`` where it is not that of the payload in words."""
        words = len(payload) // WORD if length is None else length
        self.connection.sendall(HEADER.pack(words, command) + payload)

    def send_descriptor(self, fd: int) -> None:
        """A descriptor travels with one byte of nothing."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.connection.sendmsg([b"\0"], rights)
