# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Blob resources: plain memory of the guest or the host."""

from vgpud.device.commands import Request
from vgpud.device.commands.entries import entries_of
from vgpud.device.commands.scanout import check_scanout
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer, with_body
from vgpud.errors import GuestError
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
    VIRTIO_GPU_RESP_OK_MAP_INFO,
    virtio_gpu_resource_create_blob,
    virtio_gpu_resource_map_blob,
    virtio_gpu_resource_unmap_blob,
    virtio_gpu_resp_map_info,
    virtio_gpu_set_scanout_blob,
)


def create(device: Device, request: Request, command: virtio_gpu_resource_create_blob) -> Answer:
    entries = entries_of(device, request, command.nr_entries)
    device.plane.resource_create_blob(command.resource_id)
    if command.nr_entries:
        device.plane.resource_attach_backing(command.resource_id, entries, command.nr_entries)
    return OK


def set_scanout(device: Device, request: Request, command: virtio_gpu_set_scanout_blob) -> Answer:
    check_scanout(device, command.scanout_id)
    _check_blob(device, command.resource_id)
    device.renderer.set_scanout_blob(command)
    return OK


def map_blob(device: Device, request: Request, command: virtio_gpu_resource_map_blob) -> Answer:
    _check_blob(device, command.resource_id)
    map_info = device.renderer.map_blob(command.resource_id, command.offset)
    return with_body(VIRTIO_GPU_RESP_OK_MAP_INFO, virtio_gpu_resp_map_info(map_info))


def unmap_blob(device: Device, request: Request, command: virtio_gpu_resource_unmap_blob) -> Answer:
    _check_blob(device, command.resource_id)
    device.renderer.unmap_blob(command.resource_id)
    return OK


def _check_blob(device: Device, resource_id: int) -> None:
    if not device.plane.resource_is_blob(resource_id):
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, f"resource {resource_id} is not a blob"
        )
