# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""GET_CAPSET_INFO and GET_CAPSET: what a 3D renderer can do."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import Answer, Response, with_body
from vgpud.errors import GuestError
from vgpud.link.messages import CapsetAsked
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    VIRTIO_GPU_RESP_OK_CAPSET,
    VIRTIO_GPU_RESP_OK_CAPSET_INFO,
    virtio_gpu_get_capset,
    virtio_gpu_get_capset_info,
    virtio_gpu_resp_capset_info,
)


def get_capset_info(
    device: Device, request: Request, command: virtio_gpu_get_capset_info
) -> Answer:
    capsets = device.capsets
    if command.capset_index >= len(capsets):
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, f"there is no capset {command.capset_index}"
        )
    info = virtio_gpu_resp_capset_info(*capsets[command.capset_index])
    return with_body(VIRTIO_GPU_RESP_OK_CAPSET_INFO, info)


def get_capset(device: Device, request: Request, command: virtio_gpu_get_capset) -> Answer:
    offered = next(
        (capset.max_version for capset in device.capsets if capset.capset_id == command.capset_id),
        None,
    )
    if offered is None or command.capset_version > offered:
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
            f"there is no capset {command.capset_id} {command.capset_version}",
        )
    if command.capset_id not in device.capsets_asked:
        device.capsets_asked.add(command.capset_id)
        device.link.send(CapsetAsked(command.capset_id))
    return Response(VIRTIO_GPU_RESP_OK_CAPSET, device.renderer.capset(command.capset_id))
