# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""QEMU's display socket, as the event loop uses it: questions that have replies.

The socket itself belongs to the presenter, the only one that writes it, and that also reads it
where frames have replies; everything else goes on through the socket pair that
:class:`DisplaySocket` reads.  Nothing is cached: after a resize QEMU gives another answer to the
same question.
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence

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
# How many are asked at once; the others wait for their turn.
MAXIMUM_WAITING = 32
# Nothing tells when a message can be sent that could not be sent before, so try again after this.
AGAIN_SECONDS = 0.01


Question = tuple[Request, bytes]


class _Waiting:
    """A request that was sent.  Its reply may still come after the asker has given up."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.settled = trio.Event()
        self.payload = NO_ANSWER


class DisplaySocket:
    """Owns ``end``.  ``post`` sends a message (:meth:`Presenter.post`); ``timeout`` in seconds.

    Nothing is answered unless :meth:`run` runs.
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
        self._fewer = trio.Event()  # are waiting
        self._turn = trio.StrictFIFOLock()
        self._negotiating = trio.Lock()
        self._features: ProtocolFeature | None = None
        self._closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._closed = True
        self._socket.close()
        self._give_up()

    async def run(self) -> None:
        """Reads until the display closes the socket, or breaks the protocol."""
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
        """The next bytes, empty at the end of file.  The kernel closes descriptors that come with
        them.
        """
        try:
            return await self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except (OSError, trio.ClosedResourceError):
            return b""

    async def negotiate(self) -> None:
        """Agrees on the features to use; the presenter learns them from the message that it
        sends.
        """
        with trio.move_on_after(self._timeout):
            await self._negotiate()

    async def display_info(self) -> bytes:
        """A whole virtio_gpu_resp_display_info, or ``NO_ANSWER``."""
        with trio.move_on_after(self._timeout):
            return await self._display_info()
        return NO_ANSWER

    async def edid(self, scanout_id: int) -> bytes:
        """A whole virtio_gpu_resp_edid, or ``NO_ANSWER``.

        QEMU 7.2 gives none: then one is made from the display's size that it reports.
        """
        if scanout_id >= VIRTIO_GPU_MAX_SCANOUTS:
            return NO_ANSWER
        with trio.move_on_after(self._timeout):
            features = await self._negotiate()
            if ProtocolFeature.EDID not in features:
                return _edid_from(await self._display_info(), scanout_id)
            # QEMU does not answer for a scanout that it does not have, but it answers in order: a
            # reply to the second request means that the first gets none.
            return await self._ask(
                (Request.GET_EDID, get_edid(scanout_id)),
                (Request.GET_PROTOCOL_FEATURES, get_protocol_features()),
            )
        return NO_ANSWER

    # --- without a limit on the time

    async def _negotiate(self) -> ProtocolFeature:
        """The features, once they are known; other tasks wait for them meanwhile."""
        async with self._negotiating:
            if self._features is None:
                offered = await self._ask(
                    (Request.GET_PROTOCOL_FEATURES, get_protocol_features()),
                )
                if not offered:
                    return ProtocolFeature(0)
                features = protocol_features(offered)
                async with self._turn:
                    await self._post_soon(set_protocol_features(features))
                self._features = features
            return self._features

    async def _display_info(self) -> bytes:
        return await self._ask((Request.GET_DISPLAY_INFO, get_display_info()))

    async def _ask(self, *questions: Question) -> bytes:
        """The answer to the first question; empty when there will be none."""
        waiting = await self._send(questions)
        await waiting[0].settled.wait()
        return waiting[0].payload

    async def _send(self, questions: Sequence[Question]) -> list[_Waiting]:
        """Sends in the order of the calls, as soon as few others are unanswered."""
        sent = []
        async with self._turn:
            while len(self._waiting) > MAXIMUM_WAITING - len(questions) and not self._closed:
                await self._fewer.wait()
            for request, message in questions:
                waiting = _Waiting(request)
                if await self._post_soon(message):
                    self._waiting.append(waiting)
                else:
                    waiting.settled.set()
                sent.append(waiting)
        return sent

    async def _post_soon(self, message: bytes) -> bool:
        """False when the display has gone.  (There is no checkpoint after the message.)"""
        while not self._closed:
            try:
                self._post(message)
            except NotSentError:
                with trio.move_on_after(AGAIN_SECONDS):
                    await self._fewer.wait()
            else:
                return True
        return False

    # --- for the reader

    def _settle(self, reply: Reply) -> None:
        """Replies come in the order of the requests: earlier requests without one get none."""
        if all(waiting.request is not reply.request for waiting in self._waiting):
            return
        while (waiting := self._waiting.popleft()).request is not reply.request:
            waiting.settled.set()
        waiting.payload = reply.payload
        waiting.settled.set()
        self._are_fewer()

    def _give_up(self) -> None:
        while self._waiting:
            self._waiting.popleft().settled.set()
        self._are_fewer()

    def _are_fewer(self) -> None:
        self._fewer.set()
        self._fewer = trio.Event()


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
