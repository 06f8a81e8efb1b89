# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""SET_SCANOUT: which rectangle of which resource a display shows."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer
from vgpud.errors import GuestError
from vgpud.wire.virtio_gpu import VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, virtio_gpu_set_scanout


def set_scanout(device: Device, request: Request, command: virtio_gpu_set_scanout) -> Answer:
    check_scanout(device, command.scanout_id)
    resource = device.resources.get(command.resource_id) if command.resource_id else None
    device.renderer.set_scanout(command, resource)
    return OK


def check_scanout(device: Device, scanout_id: int) -> None:
    """``GuestError`` when the device has no such scanout."""
    if scanout_id >= device.num_scanouts:
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, f"there is no scanout {scanout_id}"
        )
