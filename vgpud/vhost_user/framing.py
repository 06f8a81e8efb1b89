# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One request after another from a stream socket, with its descriptors.

The front-end sends descriptors with the first byte of a header.  So a header is read alone: a
larger read would join the descriptors of one message with the bytes of the message before.
"""

import select
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import trio

from vgpud.errors import FrontendError
from vgpud.link import rights
from vgpud.vhost_user import messages
from vgpud.vhost_user.descriptors import check_foreign
from vgpud.vhost_user.messages import HEADER, Header
from vgpud.vhost_user.sender import CREDENTIALS_BYTES, Sender, name_senders, sender_in

SocketType = trio.socket.SocketType
ANCILLARY_BYTES = rights.ANCILLARY_BYTES + CREDENTIALS_BYTES


class Message:
    """A request; at the end of a ``with`` statement the descriptors are closed that nobody has
    taken out of the list.
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
    """Owns the socket.

    The process at the other end may share this end too, and so its flags: only the event loop ever
    waits for it.
    """

    def __init__(self, end: SocketType) -> None:
        self._socket = end
        self._sender = Sender()
        name_senders(end)
        # Made at once: a session may make none later.
        self._hang_up = select.epoll()
        self._hang_up.register(end.fileno(), 0)  # EPOLLHUP needs not be asked for

    @property
    def sender(self) -> int | None:
        """The process that has sent the last request; None before the first, and when the kernel
        cannot name it here.
        """
        return self._sender.pid

    @property
    def sender_known(self) -> trio.Event:
        """Set when the first request has come."""
        return self._sender.known

    async def sender_left(self) -> int:
        """Returns the front-end's process once it has ended while others hold its connection
        open.
        """
        return await self._sender.left(self._socket)

    async def hung_up(self) -> None:
        """Returns when nobody has the other end any more, also while there is something to read."""
        await trio.lowlevel.wait_readable(self._hang_up.fileno())

    def check_foreign(self, descriptors: Iterable[int]) -> None:
        """``FrontendError`` when one of them leads back to this connection, or to the socket that
        front-ends connect to.
        """
        for descriptor in descriptors:
            check_foreign(descriptor, self._socket)

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
                HEADER.size, ANCILLARY_BYTES, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return b""
        descriptors += rights.unpack(ancillary)
        if data:
            self._sender.note(sender_in(ancillary))
        if flags & socket.MSG_CTRUNC:
            raise FrontendError("descriptors were lost: too many are open")
        return data

    async def _receive_rest(self, length: int) -> bytes:
        # No room for descriptors: the kernel drops those that come after the header.
        data = bytearray()
        while len(data) < length:
            try:
                more = await self._socket.recv(length - len(data), socket.MSG_DONTWAIT)
            except ConnectionResetError:
                more = b""
            if not more:
                raise FrontendError("the front-end has gone in the middle of a request")
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
        self._hang_up.close()
        self._socket.close()
