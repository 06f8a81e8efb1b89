# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""SET_SCANOUT: which rectangle of which resource a display shows."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer
from vgpud.errors import GuestError
from vgpud.link.messages import ImageMade
from vgpud.wire.virtio_gpu import VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, virtio_gpu_set_scanout


def set_scanout(device: Device, request: Request, command: virtio_gpu_set_scanout) -> Answer:
    check_scanout(device, command.scanout_id)
    resource = device.resources.get(command.resource_id) if command.resource_id else None
    had_image = resource is None or device.plane.resource_has_image(resource.resource_id)
    device.renderer.set_scanout(command, resource)
    if resource is not None and not had_image:
        _tell_image(device, resource.resource_id)
    return OK


def _tell_image(device: Device, resource_id: int) -> None:
    """Of a renderer's resource that was shown for the first time: that has given it one."""
    if device.plane.resource_has_image(resource_id):
        device.link.send(ImageMade(resource_id), [device.plane.resource_image_fd(resource_id)])


def check_scanout(device: Device, scanout_id: int) -> None:
    """``GuestError`` when the device has no such scanout."""
    if scanout_id >= device.num_scanouts:
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID, f"there is no scanout {scanout_id}"
        )
