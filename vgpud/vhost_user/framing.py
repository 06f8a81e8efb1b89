# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One request after another from a stream socket, with its descriptors.

The front-end sends descriptors with the first byte of a header.  So a header is read by itself: a
larger read would join the descriptors of one message with the bytes of the message before.
"""

import socket
from types import TracebackType
from typing import Self

import trio

from vgpud.errors import FrontendError
from vgpud.link import rights
from vgpud.vhost_user import messages
from vgpud.vhost_user.messages import HEADER, Header

SocketType = trio.socket.SocketType


class Message:
    """A request; in a ``with`` statement, whoever wants a descriptor takes it out of the list, and
    what is left is closed.
    """

    def __init__(self, header: Header, payload: bytes, descriptors: list[int]) -> None:
        self.request, self.flags, _ = header
        self.payload = payload
        self.descriptors = descriptors

    @property
    def needs_reply(self) -> bool:
        """Whether an acknowledgement is wanted, if REPLY_ACK is negotiated."""
        return bool(self.flags & messages.FLAG_NEED_REPLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        rights.close(self.descriptors)
        self.descriptors.clear()


class Connection:
    """Owns the socket, which may be one that the front-end has too: MSG_DONTWAIT, since it can take
    O_NONBLOCK away at any time.
    """

    def __init__(self, end: SocketType) -> None:
        self._socket = end

    async def receive(self) -> Message | None:
        """The next request, or None when the front-end has gone.  ``FrontendError`` when it has
        gone in the middle of one, or when the framing is wrong.
        """
        descriptors: list[int] = []
        try:
            data = await self._receive_first(descriptors)
            if not data:
                return None
            header = messages.parse_header(data + await self._receive_rest(HEADER.size - len(data)))
            payload = await self._receive_rest(header.size)
        except BaseException:
            rights.close(descriptors)
            raise
        return Message(header, payload, descriptors)

    async def _receive_first(self, descriptors: list[int]) -> bytes:
        try:
            data, ancillary, flags, _ = await self._socket.recvmsg(
                HEADER.size,
                rights.ANCILLARY_BYTES,
                socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT,
            )
        except ConnectionResetError:
            return b""
        descriptors += rights.unpack(ancillary)
        if flags & socket.MSG_CTRUNC:
            raise FrontendError("descriptors were lost: too many are open")
        return data

    async def _receive_rest(self, length: int) -> bytes:
        # No room for descriptors: the kernel drops those that come later than they may.
        data = bytearray()
        while len(data) < length:
            try:
                more = await self._socket.recv(length - len(data), socket.MSG_DONTWAIT)
            except ConnectionResetError:
                more = b""
            if not more:
                raise FrontendError("the frontend has gone in the middle of a request")
            data += more
        return bytes(data)

    async def reply(self, request: int, payload: bytes) -> None:
        """Answers a request; a front-end that has gone meanwhile is noticed at the next read."""
        data = messages.reply(request, payload)
        try:
            while data:
                data = data[await self._socket.send(data, socket.MSG_DONTWAIT) :]
        except (BrokenPipeError, ConnectionResetError):
            return

    def close(self) -> None:
        self._socket.close()
