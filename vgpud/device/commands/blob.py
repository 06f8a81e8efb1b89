# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Blob resources (VIRTIO 1.2, 5.7.6.8): the guest's own memory, in every mode; none of the host's so far."""

from vgpud.device.commands import Request
from vgpud.device.commands.entries import entries_of
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer, with_body
from vgpud.errors import GuestError
from vgpud.link.messages import BackingAttached, BlobCreated
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE,
    VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE,
    VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE,
    VIRTIO_GPU_BLOB_MEM_GUEST,
    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
    VIRTIO_GPU_RESP_OK_MAP_INFO,
    virtio_gpu_resource_create_blob,
    virtio_gpu_resource_map_blob,
    virtio_gpu_resource_unmap_blob,
    virtio_gpu_resp_map_info,
    virtio_gpu_set_scanout_blob,
)

BLOB_FLAGS = (
    VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE
    | VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE
    | VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE
)


def create(device: Device, request: Request, command: virtio_gpu_resource_create_blob) -> Answer:
    _check_memory(command)
    entries = entries_of(device, request, command.nr_entries)
    resource_id = command.resource_id
    device.plane.resource_create_blob(resource_id, command.size)
    try:
        device.plane.resource_attach_backing(resource_id, entries, command.nr_entries)
    except OSError:
        device.plane.resource_unref(resource_id)
        raise
    device.link.send(BlobCreated(resource_id, command.size))
    device.link.send(BackingAttached(resource_id, entries))
    return OK


def _check_memory(command: virtio_gpu_resource_create_blob) -> None:
    """What the flags permit is the guest's own affair: nothing of it is mapped or exported here."""
    if command.blob_mem != VIRTIO_GPU_BLOB_MEM_GUEST:
        raise _wrong(f"blob_mem {command.blob_mem}: there are guest blobs only")
    if command.blob_flags & ~BLOB_FLAGS:
        raise _wrong(f"blob_flags {command.blob_flags:#x}")
    if command.blob_id:
        raise _wrong(f"blob_id {command.blob_id:#x} of a guest blob")


def _wrong(text: str) -> GuestError:
    return GuestError(VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, text)


def set_scanout(device: Device, request: Request, command: virtio_gpu_set_scanout_blob) -> Answer:
    device.plane.scanout_set_blob(command)
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
