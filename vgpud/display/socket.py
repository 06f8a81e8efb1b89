# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The reading half of QEMU's display socket: questions that have replies.

The presenter writes; nobody but :class:`DisplaySocket` reads.  Nothing is cached: a resize is that
QEMU gives another answer to the same question.
"""

import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from vgpud.display.edid import MAXIMUM_SIDE, edid_response, make_edid
from vgpud.display.headless import NO_ANSWER
from vgpud.display.messages import (
    DisplayProtocolError,
    ProtocolFeature,
    Reply,
    ReplyDecoder,
    Request,
    get_display_info,
    get_edid,
    get_protocol_features,
    protocol_features,
    set_protocol_features,
)
from vgpud.display.presenter import NotSentError
from vgpud.wire.layout import TruncatedError, size_of, unpack
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_MAX_SCANOUTS,
    virtio_gpu_ctrl_hdr,
    virtio_gpu_resp_display_info,
)

RECEIVE_BYTES = 16 * 1024
DEFAULT_TIMEOUT = 5.0
MAXIMUM_WAITING = 32


class _Waiting:
    """A request that has been sent.  When its asker has given up, its reply may still come."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.settled = trio.Event()
        self.payload = NO_ANSWER


class DisplaySocket:
    """Owns ``end``.  ``post`` sends a message (:meth:`Presenter.post`); ``timeout`` in seconds.

    :meth:`run` has to run for anything else to be answered.
    """

    def __init__(
        self,
        end: socket.socket,
        post: Callable[[bytes], None],
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._socket = trio.socket.from_stdlib_socket(end)
        self._post = post
        self._timeout = timeout
        self._waiting: deque[_Waiting] = deque()
        self._features: ProtocolFeature | None = None
        self._closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._closed = True
        self._socket.close()
        self._give_up()

    async def run(self) -> None:
        """Reads until the display closes the socket, or makes no sense any more."""
        decoder = ReplyDecoder()
        try:
            while received := await self._receive():
                for reply in decoder.feed(received):
                    self._settle(reply)
        except DisplayProtocolError:
            return
        finally:
            self._closed = True
            self._give_up()

    async def _receive(self) -> bytes:
        """Nothing at the end of file.  Descriptors that come along are closed by the kernel."""
        try:
            return await self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except (OSError, trio.ClosedResourceError):
            return b""

    async def negotiate(self) -> None:
        """Agrees on the features that are used; the presenter learns them from what it sends."""
        offered = await self._ask(Request.GET_PROTOCOL_FEATURES, get_protocol_features())
        if offered:
            self._features = protocol_features(offered)
            with suppress(NotSentError):
                self._post(set_protocol_features(self._features))

    async def display_info(self) -> bytes:
        """A whole virtio_gpu_resp_display_info, or ``NO_ANSWER``."""
        return await self._ask(Request.GET_DISPLAY_INFO, get_display_info())

    async def edid(self, scanout_id: int) -> bytes:
        """A whole virtio_gpu_resp_edid, or ``NO_ANSWER``.

        QEMU 7.2 gives none: then one is made from what it says of the display's size.
        """
        if scanout_id >= VIRTIO_GPU_MAX_SCANOUTS:
            return NO_ANSWER
        if self._features is None:
            await self.negotiate()
        if not self._features or ProtocolFeature.EDID not in self._features:
            return _edid_from(await self.display_info(), scanout_id)
        waiting = self._send(Request.GET_EDID, get_edid(scanout_id))
        # QEMU does not answer for a scanout that it does not have, but it answers in order: a reply
        # to this one tells that there is none to the one before.
        self._send(Request.GET_PROTOCOL_FEATURES, get_protocol_features())
        return await self._answer(waiting)

    async def _ask(self, request: Request, message: bytes) -> bytes:
        return await self._answer(self._send(request, message))

    def _send(self, request: Request, message: bytes) -> _Waiting | None:
        """None when the display cannot be asked, or has not answered much else."""
        if self._closed or len(self._waiting) >= MAXIMUM_WAITING:
            return None
        try:
            self._post(message)
        except NotSentError:
            return None
        waiting = _Waiting(request)
        self._waiting.append(waiting)
        return waiting

    async def _answer(self, waiting: _Waiting | None) -> bytes:
        if waiting is None:
            return NO_ANSWER
        with trio.move_on_after(self._timeout):
            await waiting.settled.wait()
        return waiting.payload

    def _settle(self, reply: Reply) -> None:
        """Replies come in the order of the requests: what was asked before this has got none."""
        if all(waiting.request is not reply.request for waiting in self._waiting):
            return
        while (waiting := self._waiting.popleft()).request is not reply.request:
            waiting.settled.set()
        waiting.payload = reply.payload
        waiting.settled.set()

    def _give_up(self) -> None:
        while self._waiting:
            self._waiting.popleft().settled.set()


def _edid_from(display_info: bytes, scanout_id: int) -> bytes:
    try:
        header_bytes = size_of(virtio_gpu_ctrl_hdr)
        info = unpack(virtio_gpu_resp_display_info, display_info, header_bytes)
    except TruncatedError:
        return NO_ANSWER
    size = info.pmodes[scanout_id].r
    if not 0 < size.width <= MAXIMUM_SIDE or not 0 < size.height <= MAXIMUM_SIDE:
        return NO_ANSWER
    return edid_response(make_edid(size.width, size.height, serial=scanout_id + 1))
