# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Blob resources (VIRTIO 1.2, 5.7.6.8): the guest's own memory, in every mode; host memory, where
the renderer's library makes such blobs.
"""

import os
from collections.abc import Callable
from functools import partial

from vgpud.device.commands import Request
from vgpud.device.commands.entries import entries_of
from vgpud.device.dataplane import BlobFile
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer, Response, refusal, with_body
from vgpud.errors import GuestError
from vgpud.link import messages
from vgpud.link.messages import BackingAttached, BlobCreated, HostBlobCreated, MapBlob, UnmapBlob
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE,
    VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE,
    VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE,
    VIRTIO_GPU_BLOB_MEM_GUEST,
    VIRTIO_GPU_BLOB_MEM_HOST3D,
    VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST,
    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
    VIRTIO_GPU_RESP_ERR_UNSPEC,
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

Create = Callable[[Device, Request, virtio_gpu_resource_create_blob], Answer]


# --- creation


def create(device: Device, request: Request, command: virtio_gpu_resource_create_blob) -> Answer:
    if command.blob_flags & ~BLOB_FLAGS:
        raise _wrong(f"blob_flags {command.blob_flags:#x}")
    create_blob = _CREATE.get(command.blob_mem)
    if create_blob is None:
        raise _wrong(f"blob_mem {command.blob_mem}")
    return create_blob(device, request, command)


def _create_guest_blob(
    device: Device, request: Request, command: virtio_gpu_resource_create_blob
) -> Answer:
    """Creates a blob.  What the flags permit matters only to the guest: a guest blob is not mapped
    or exported here.
    """
    if command.blob_id:
        raise _wrong(f"blob_id {command.blob_id:#x} of a guest blob")
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


def _create_host_blob(
    device: Device, request: Request, command: virtio_gpu_resource_create_blob
) -> Answer:
    if not device.renderer.host_blobs:
        raise _wrong(f"blob_mem {command.blob_mem}: there are only guest blobs")
    entries = entries_of(device, request, command.nr_entries)
    device.plane.resource_create_host_blob(request.hdr.ctx_id, command, entries)
    device.link.send(HostBlobCreated(command.resource_id, command.size))
    if entries:
        device.link.send(BackingAttached(command.resource_id, entries))
    return OK


_CREATE: dict[int, Create] = {
    VIRTIO_GPU_BLOB_MEM_GUEST: _create_guest_blob,
    VIRTIO_GPU_BLOB_MEM_HOST3D: _create_host_blob,
    VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST: _create_host_blob,
}


def _wrong(text: str) -> GuestError:
    return GuestError(VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, text)


# --- what is shown


def set_scanout(device: Device, request: Request, command: virtio_gpu_set_scanout_blob) -> Answer:
    device.plane.scanout_set_blob(command)
    device.pictures.tell()
    return OK


# --- host-visible memory


def map_blob(device: Device, request: Request, command: virtio_gpu_resource_map_blob) -> Answer:
    """The answer follows when the VMM has mapped it, or has refused."""
    resource_id, offset = command.resource_id, command.offset
    _check_host_blob(device, resource_id)
    file = device.plane.host_blob_export(resource_id)
    try:
        return device.questions.ask(
            request.chain,
            lambda number: MapBlob(number, resource_id, offset, file.length, file.offset),
            partial(_mapped, file),
            [file.descriptor],
        )
    finally:
        os.close(file.descriptor)


def _mapped(file: BlobFile, answer: messages.Answer) -> Response:
    if answer.error:
        return refusal(answer.error)
    return with_body(VIRTIO_GPU_RESP_OK_MAP_INFO, virtio_gpu_resp_map_info(file.map_info))


def unmap_blob(device: Device, request: Request, command: virtio_gpu_resource_unmap_blob) -> Answer:
    """Also for a blob that an earlier process has made: it may still be mapped."""
    resource_id = command.resource_id
    _check_host_blob(device, resource_id)
    return device.questions.ask(
        request.chain, lambda number: UnmapBlob(number, resource_id), _unmapped
    )


def _unmapped(answer: messages.Answer) -> Response:
    return refusal(answer.error) if answer.error else OK


def _check_host_blob(device: Device, resource_id: int) -> None:
    if device.plane.resource_is_host_blob(resource_id):
        return
    if device.plane.resource_is_blob(resource_id):
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_UNSPEC, f"resource {resource_id} is the guest's own memory"
        )
    raise GuestError(
        VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, f"resource {resource_id} is not a blob"
    )
