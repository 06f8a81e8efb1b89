# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The session's end of the link, in trio."""

import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from vgpud.link import rights
from vgpud.link.codec import Decoder, LinkClosedError, encode
from vgpud.link.fields import LinkError
from vgpud.link.messages import (
    FROM_DEVICE,
    REPLIES,
    FromDevice,
    FromSession,
    Reply,
    Report,
    Request,
)

RECEIVE_BYTES = 64 * 1024
# A message takes ten microseconds or more, depending on its kind, and a device process that was
# taken over may send an endless stream.
TURN_SECONDS = 0.001

ReplyType = TypeVar("ReplyType", bound=Reply)
Handler = Callable[[Report, list[int]], Awaitable[None]]


class RequestFailedError(Exception):
    """The device process could not do it: ``reply`` is Refused or Failed."""

    def __init__(self, request: Request, reply: Reply) -> None:
        super().__init__(f"{type(request).__name__}: {reply}")
        self.reply = reply


class TrioConnection:
    """Owns the socket, which may be any stream socket of the family AF_UNIX.

    One task calls :meth:`run`; any other may send and make requests.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = trio.socket.from_stdlib_socket(end)
        self._decoder = Decoder(FROM_DEVICE)
        self._sending = trio.Lock()
        self._serial = 0
        self._waiting: dict[int, _Waiting] = {}
        self._closed = False

    async def send(self, message: FromSession, descriptors: Sequence[int] = ()) -> None:
        """Sends a message with copies of the descriptors.

        ``LinkClosedError`` when the device process has gone.  When it is cancelled in the middle of
        a message the link is useless, and is closed.
        """
        data = encode(message)
        async with self._sending:
            if self._closed:
                raise LinkClosedError("the link is closed")
            try:
                # The kernel ties descriptors to the first byte of a write: the rest goes without
                # them.
                sent = await self._socket.sendmsg(
                    [data], rights.pack(descriptors), socket.MSG_DONTWAIT
                )
                await self._send_rest(data[sent:])
            except (BrokenPipeError, ConnectionResetError, trio.ClosedResourceError):
                raise LinkClosedError("the device process has gone") from None

    async def _send_rest(self, data: bytes) -> None:
        try:
            while data:
                data = data[await self._socket.send(data, socket.MSG_DONTWAIT) :]
        except trio.Cancelled:
            self.close()
            raise

    async def request(
        self, message: Request, reply: type[ReplyType], descriptors: Sequence[int] = ()
    ) -> ReplyType:
        """Sends a request and waits for its reply, which must be a ``reply``.

        ``RequestFailedError`` when it is another reply, ``LinkClosedError`` when the device process
        goes before it has answered.
        """
        self._serial += 1
        serial = self._serial
        waiting = self._waiting[serial] = _Waiting()
        try:
            await self.send(message._replace(serial=serial), descriptors)
            await waiting.arrived.wait()
        finally:
            del self._waiting[serial]
        if waiting.reply is None:
            raise LinkClosedError("the device process has gone")
        if not isinstance(waiting.reply, reply):
            raise RequestFailedError(message, waiting.reply)
        return waiting.reply

    async def run(self, handler: Handler) -> None:
        """Reads until the device process has gone; gives replies to the tasks that wait for them
        and the rest to ``handler``. The handler must not wait for a reply, which it would block
        itself.  It takes the descriptors that it keeps out of the list; what it leaves there is
        closed.  Returns at the
        end of file; ``LinkError`` when the device process breaks the protocol.
        """
        try:
            while await self._fill():
                await self._deliver_all(handler)
        finally:
            self.close()

    async def _fill(self) -> bool:
        try:
            data, ancillary, flags, _ = await self._socket.recvmsg(
                RECEIVE_BYTES,
                rights.ANCILLARY_BYTES,
                socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC,
            )
        except (ConnectionResetError, trio.ClosedResourceError):
            return False
        self._decoder.feed(data, rights.unpack(ancillary))
        if flags & socket.MSG_CTRUNC:
            raise LinkError("descriptors were lost: too many are open")
        return bool(data)

    async def _deliver_all(self, handler: Handler) -> None:
        """Delivers what was read, which may be thousands of messages: other tasks run in
        between.
        """
        begun = time.perf_counter()
        for message, descriptors in self._decoder.messages():
            try:
                await self._deliver(message, descriptors, handler)
            finally:
                rights.close(descriptors)
            if time.perf_counter() - begun > TURN_SECONDS:
                await trio.lowlevel.checkpoint()
                begun = time.perf_counter()

    async def _deliver(
        self, message: FromSession | FromDevice, descriptors: list[int], handler: Handler
    ) -> None:
        if isinstance(message, REPLIES):
            # A reply that nobody waits for belongs to a request that was cancelled.
            if waiting := self._waiting.get(message.serial):
                waiting.set(message)
            return
        if not isinstance(message, Report):
            raise LinkError(f"only the session may send {type(message).__name__}")
        await handler(message, descriptors)

    def close(self) -> None:
        """Closes the socket and every descriptor that no message has claimed; waiting tasks get
        LinkClosedError.
        """
        self._closed = True
        self._decoder.close()
        self._socket.close()
        for waiting in self._waiting.values():
            waiting.arrived.set()


class _Waiting:
    def __init__(self) -> None:
        self.arrived = trio.Event()
        self.reply: Reply | None = None

    def set(self, reply: Reply) -> None:
        # The first reply counts, even if the waiting task has not run yet.
        self.reply = self.reply or reply
        self.arrived.set()
