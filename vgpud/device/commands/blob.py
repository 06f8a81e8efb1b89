# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Blob resources: plain memory of the guest or the host."""

from vgpud.device.commands import Request
from vgpud.device.commands.entries import entries_of
from vgpud.device.commands.scanout import check_scanout
from vgpud.device.device import Device
from vgpud.device.resources import Kind, Resource
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
    device.resources.check_new(command.resource_id)
    entries = entries_of(device, request, command.nr_entries)
    device.renderer.create_blob(request.hdr.ctx_id, command, entries)
    device.resources.add(command.resource_id, Kind.BLOB)
    return OK


def set_scanout(device: Device, request: Request, command: virtio_gpu_set_scanout_blob) -> Answer:
    check_scanout(device, command.scanout_id)
    device.renderer.set_scanout_blob(command, _blob(device, command.resource_id))
    return OK


def map_blob(device: Device, request: Request, command: virtio_gpu_resource_map_blob) -> Answer:
    map_info = device.renderer.map_blob(_blob(device, command.resource_id), command.offset)
    return with_body(VIRTIO_GPU_RESP_OK_MAP_INFO, virtio_gpu_resp_map_info(map_info))


def unmap_blob(device: Device, request: Request, command: virtio_gpu_resource_unmap_blob) -> Answer:
    device.renderer.unmap_blob(_blob(device, command.resource_id))
    return OK


def _blob(device: Device, resource_id: int) -> Resource:
    resource = device.resources.get(resource_id)
    if resource.kind is not Kind.BLOB:
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, f"resource {resource_id} is not a blob"
        )
    return resource
