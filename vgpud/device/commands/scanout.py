# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""SET_SCANOUT: which rectangle of which resource a display shows."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer
from vgpud.link.messages import ImageMade
from vgpud.wire.virtio_gpu import virtio_gpu_set_scanout


def set_scanout(device: Device, request: Request, command: virtio_gpu_set_scanout) -> Answer:
    resource_id = command.resource_id
    had_image = resource_id == 0 or device.plane.resource_has_image(resource_id)
    device.plane.scanout_set(command.scanout_id, resource_id, *command.r)
    device.pictures.tell()
    if not had_image:
        # A texture was shown for the first time, and so has got an image.
        device.link.send(ImageMade(resource_id), [device.plane.resource_image_fd(resource_id)])
    return OK
