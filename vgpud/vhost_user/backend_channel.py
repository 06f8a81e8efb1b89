# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The channel of SET_BACKEND_REQ_FD, on which the back-end asks and the front-end answers."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from struct import Struct

import trio

from vgpud.errors import FrontendError
from vgpud.link import rights
from vgpud.vhost_user import messages
from vgpud.vhost_user.descriptors import stream_socket
from vgpud.vhost_user.messages import HEADER

ANSWER_SECONDS = 5.0
_ANSWER = Struct("=3IQ")
# ClosedResourceError: another channel has replaced this one, or its front-end has gone.
_GONE = (trio.TooSlowError, BrokenPipeError, ConnectionResetError, trio.ClosedResourceError)


class BackendChannel:
    """Owns the descriptor; ``FrontendError`` when it is no stream socket.  The front-end has the same
    open socket, and can take O_NONBLOCK away: hence MSG_DONTWAIT.

    The front-end may need the main socket to carry out what is asked here, so a question is a
    task's own business, never that of whoever reads requests.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = trio.socket.from_stdlib_socket(stream_socket(descriptor))
        self._asking = trio.Lock()

    async def ask(self, request: int, payload: bytes, descriptors: Sequence[int] = ()) -> int:
        """What the front-end answers: 0 for success.  Only with REPLY_ACK does it answer at all.

        ``FrontendError`` when it has gone, answers wrongly, or not within ``ANSWER_SECONDS``.
        """
        flags = messages.VERSION | messages.FLAG_NEED_REPLY
        data = HEADER.pack(request, flags, len(payload)) + payload
        async with self._asking, _in_time():
            await self._send(data, descriptors)
            answer = await self._receive(_ANSWER.size)
        answered, flags, size, value = _ANSWER.unpack(answer)
        if (answered, size) != (request, 8) or not flags & messages.FLAG_REPLY:
            raise FrontendError(f"request {request} of the backend was answered with {answered}")
        return int(value)

    async def tell(self, request: int) -> None:
        """A request without payload that is not answered; ``FrontendError`` as for ``ask``."""
        async with self._asking, _in_time():
            await self._send(HEADER.pack(request, messages.VERSION, 0), ())

    async def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        sent = await self._socket.sendmsg([data], rights.pack(descriptors), socket.MSG_DONTWAIT)
        while sent < len(data):
            sent += await self._socket.send(data[sent:], socket.MSG_DONTWAIT)

    async def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = await self._socket.recv(length - len(data), socket.MSG_DONTWAIT)
            if not more:
                raise FrontendError("the backend channel has been closed")
            data += more
        return data

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        with trio.fail_after(ANSWER_SECONDS):
            yield
    except _GONE as error:
        raise FrontendError("the backend channel is not answered") from error
