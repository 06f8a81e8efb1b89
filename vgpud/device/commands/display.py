# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""GET_DISPLAY_INFO and GET_EDID: what the display says, which is asked anew each time."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import Answer
from vgpud.errors import GuestError
from vgpud.wire.virtio_gpu import VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, virtio_gpu_cmd_get_edid


def get_display_info(device: Device, request: Request, command: None) -> Answer:
    return device.questions.ask_display_info(request.chain)


def get_edid(device: Device, request: Request, command: virtio_gpu_cmd_get_edid) -> Answer:
    if command.scanout >= device.num_scanouts:
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, f"there is no scanout {command.scanout}"
        )
    return device.questions.ask_edid(request.chain, command.scanout)
