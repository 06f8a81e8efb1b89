# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""GET_DISPLAY_INFO and GET_EDID: the display is asked again each time."""

from collections.abc import Sequence
from functools import partial

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import Answer, Response, with_body
from vgpud.errors import GuestError
from vgpud.link import messages
from vgpud.wire.layout import TruncatedError, size_of, unpack
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_MAX_SCANOUTS,
    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    VIRTIO_GPU_RESP_ERR_UNSPEC,
    VIRTIO_GPU_RESP_OK_DISPLAY_INFO,
    VIRTIO_GPU_RESP_OK_EDID,
    virtio_gpu_cmd_get_edid,
    virtio_gpu_ctrl_hdr,
    virtio_gpu_display_one,
    virtio_gpu_rect,
    virtio_gpu_resp_display_info,
    virtio_gpu_resp_edid,
)

NO_EDID = Response(VIRTIO_GPU_RESP_ERR_UNSPEC)
HEADER_SIZE = size_of(virtio_gpu_ctrl_hdr)
SIZES = {
    VIRTIO_GPU_RESP_OK_DISPLAY_INFO: size_of(virtio_gpu_resp_display_info),
    VIRTIO_GPU_RESP_OK_EDID: size_of(virtio_gpu_resp_edid),
}


def get_display_info(device: Device, request: Request, command: None) -> Answer:
    """Without a display the configured displays are reported."""
    configured = display_info(device.displays)
    finish = partial(_finish, VIRTIO_GPU_RESP_OK_DISPLAY_INFO, configured)
    return device.questions.ask(request.chain, messages.GetDisplayInfo, finish)


def get_edid(device: Device, request: Request, command: virtio_gpu_cmd_get_edid) -> Answer:
    if command.scanout >= device.num_scanouts:
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, f"there is no scanout {command.scanout}"
        )
    return device.questions.ask(
        request.chain,
        lambda number: messages.GetEdid(number, command.scanout),
        partial(_finish, VIRTIO_GPU_RESP_OK_EDID, NO_EDID),
    )


def _finish(response_type: int, otherwise: Response, answer: messages.Answer) -> Response:
    return checked(answer.data, response_type) or otherwise


def checked(response: bytes, response_type: int) -> Response | None:
    """The response of a display, if it is complete and of the type that was asked for."""
    try:
        header = unpack(virtio_gpu_ctrl_hdr, response)
    except TruncatedError:
        return None
    body = response[HEADER_SIZE:]
    if header.type != response_type or len(body) != SIZES[response_type]:
        return None
    return Response(header.type, body)


def display_info(displays: Sequence[messages.DisplaySize]) -> Response:
    """GET_DISPLAY_INFO's response for displays side by side, from left to right."""
    pmodes = []
    x = 0
    for display in displays[:VIRTIO_GPU_MAX_SCANOUTS]:
        present = display != messages.NO_DISPLAY
        rectangle = virtio_gpu_rect(x if present else 0, 0, *display)
        pmodes.append(virtio_gpu_display_one(rectangle, enabled=int(present)))
        x += display.width
    unused = virtio_gpu_display_one(virtio_gpu_rect(0, 0, 0, 0), enabled=0)
    pmodes += [unused] * (VIRTIO_GPU_MAX_SCANOUTS - len(pmodes))
    return with_body(VIRTIO_GPU_RESP_OK_DISPLAY_INFO, virtio_gpu_resp_display_info(tuple(pmodes)))
