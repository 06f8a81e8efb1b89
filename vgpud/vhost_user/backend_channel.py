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
RECEIVE_BYTES = 4096

_ANSWER = Struct("=3IQ")


class BackendChannel:
    """Owns the descriptor; ``FrontendError`` when it is no stream socket.

    Nothing is answered unless :meth:`run` runs.  It also reads what nobody has asked for: the
    front-end may have sent descriptors, even that of its own connection, which would stay open
    until they are received.

    The front-end may need the main socket to carry out what is asked here, so a question has its
    own task, and is never asked by the one that reads requests.
    """

    def __init__(self, descriptor: int) -> None:
        # The front-end may share the open file, and with it O_NONBLOCK.
        self._socket = trio.socket.from_stdlib_socket(stream_socket(descriptor))
        self._asking = trio.Lock()
        self._answer: _Answer | None = None
        self._ended = False

    async def run(self) -> None:
        """Reads until the front-end closes the channel, or it is closed here."""
        try:
            # No room for descriptors: the kernel closes them.
            while data := await self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT):
                if self._answer is not None:
                    self._answer.feed(data)
        except (OSError, trio.ClosedResourceError):
            return
        finally:
            self._end()

    async def ask(self, request: int, payload: bytes, descriptors: Sequence[int] = ()) -> int:
        """What the front-end answers: 0 for success.  Only with REPLY_ACK does it answer at all.
        ``FrontendError`` when it has gone, answers wrongly, or not within ``ANSWER_SECONDS``.
        """
        flags = messages.VERSION | messages.FLAG_NEED_REPLY
        data = HEADER.pack(request, flags, len(payload)) + payload
        async with self._asking, _in_time():
            self._answer = _Answer()
            if self._ended:
                self._answer.come.set()
            try:
                await self._send(data, descriptors)
                answer = await self._answer.whole()
            finally:
                self._answer = None
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

    def _end(self) -> None:
        self._ended = True
        if self._answer is not None:
            self._answer.come.set()

    def close(self) -> None:
        self._socket.close()
        self._end()


class _Answer:
    """An answer, of the size that all answers have; what follows it was not asked for.

    ``come`` is also set when nothing will come.
    """

    def __init__(self) -> None:
        self.come = trio.Event()
        self._data = b""

    def feed(self, data: bytes) -> None:
        self._data += data[: _ANSWER.size - len(self._data)]
        if len(self._data) == _ANSWER.size:
            self.come.set()

    async def whole(self) -> bytes:
        await self.come.wait()
        if len(self._data) < _ANSWER.size:
            raise FrontendError("the backend channel has been closed")
        return self._data


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        with trio.fail_after(ANSWER_SECONDS):
            yield
    # OSError: the front-end has gone, or the socket is not connected; ClosedResourceError: another
    # channel has replaced this one.
    except (OSError, trio.TooSlowError, trio.ClosedResourceError) as error:
        raise FrontendError("the backend channel is not answered") from error
