# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Commands that only the session can answer, since it holds the display's socket.

The queue is not held up meanwhile: the command's chain stays in flight, and a chain whose queue has
been stopped in between is no longer waited for.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vgpud.device.responses import LATER, Later, Response, with_body
from vgpud.link.connection import Connection
from vgpud.link.messages import (
    NO_DISPLAY,
    DisplayInfo,
    DisplaySize,
    Edid,
    GetDisplayInfo,
    GetEdid,
)
from vgpud.wire.layout import TruncatedError, size_of, unpack
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_MAX_SCANOUTS,
    VIRTIO_GPU_RESP_ERR_UNSPEC,
    VIRTIO_GPU_RESP_OK_DISPLAY_INFO,
    VIRTIO_GPU_RESP_OK_EDID,
    virtio_gpu_ctrl_hdr,
    virtio_gpu_display_one,
    virtio_gpu_rect,
    virtio_gpu_resp_display_info,
    virtio_gpu_resp_edid,
)

# A guest can have at most as many chains in flight as a queue has entries.
MAXIMUM_WAITING = 1024
NO_EDID = Response(VIRTIO_GPU_RESP_ERR_UNSPEC)
HEADER_SIZE = size_of(virtio_gpu_ctrl_hdr)
SIZES = {
    VIRTIO_GPU_RESP_OK_DISPLAY_INFO: size_of(virtio_gpu_resp_display_info),
    VIRTIO_GPU_RESP_OK_EDID: size_of(virtio_gpu_resp_edid),
}


class _Waiting(NamedTuple):
    chain: int
    response_type: int
    fallback: Response


class Questions:
    """What the session has been asked and has not answered."""

    def __init__(
        self,
        link: Connection,
        respond: Callable[[int, Response], None],
        displays: Sequence[DisplaySize],
    ) -> None:
        self._link = link
        self._respond = respond
        self._display_info = display_info(displays)
        self._waiting: dict[int, _Waiting] = {}
        self._last = 0

    def ask_display_info(self, chain: int) -> Later | Response:
        """Asks for GET_DISPLAY_INFO; without an answer the configured displays are reported."""
        return self._ask(
            _Waiting(chain, VIRTIO_GPU_RESP_OK_DISPLAY_INFO, self._display_info), GetDisplayInfo
        )

    def ask_edid(self, chain: int, scanout_id: int) -> Later | Response:
        """Asks for GET_EDID."""
        return self._ask(
            _Waiting(chain, VIRTIO_GPU_RESP_OK_EDID, NO_EDID),
            lambda request: GetEdid(request, scanout_id),
        )

    def _ask(
        self, waiting: _Waiting, question: Callable[[int], GetDisplayInfo | GetEdid]
    ) -> Later | Response:
        if len(self._waiting) >= MAXIMUM_WAITING:
            return waiting.fallback
        self._last += 1
        self._waiting[self._last] = waiting
        self._link.send(question(self._last))
        return LATER

    def answered(self, answer: DisplayInfo | Edid) -> None:
        """Answers the guest with what the session says, unless its chain has gone meanwhile."""
        waiting = self._waiting.pop(answer.request, None)
        if waiting is None:
            return
        response = checked(answer.response, waiting.response_type) or waiting.fallback
        self._respond(waiting.chain, response)

    def clear(self) -> None:
        """Forgets every chain: the queue has been stopped, which has answered them."""
        self._waiting.clear()


def checked(response: bytes, response_type: int) -> Response | None:
    """The response of a display, if it is a whole one of the type that was asked for."""
    try:
        header = unpack(virtio_gpu_ctrl_hdr, response)
    except TruncatedError:
        return None
    body = response[HEADER_SIZE:]
    if header.type != response_type or len(body) != SIZES[response_type]:
        return None
    return Response(header.type, body)


def display_info(displays: Sequence[DisplaySize]) -> Response:
    """GET_DISPLAY_INFO's response for displays side by side, from left to right."""
    pmodes = []
    x = 0
    for display in displays[:VIRTIO_GPU_MAX_SCANOUTS]:
        present = display != NO_DISPLAY
        rectangle = virtio_gpu_rect(x if present else 0, 0, *display)
        pmodes.append(virtio_gpu_display_one(rectangle, enabled=int(present)))
        x += display.width
    unused = virtio_gpu_display_one(virtio_gpu_rect(0, 0, 0, 0), enabled=0)
    pmodes += [unused] * (VIRTIO_GPU_MAX_SCANOUTS - len(pmodes))
    return with_body(VIRTIO_GPU_RESP_OK_DISPLAY_INFO, virtio_gpu_resp_display_info(tuple(pmodes)))
