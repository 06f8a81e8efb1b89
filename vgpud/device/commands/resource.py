# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Resources: made, destroyed, tied to guest memory, given a UUID."""

import os

from vgpud.device.commands import Request
from vgpud.device.commands.entries import entries_of
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer, with_body
from vgpud.link.messages import (
    BackingAttached,
    BackingDetached,
    Resource3DCreated,
    ResourceCreated,
    ResourceGone,
    UuidAssigned,
)
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_RESP_OK_RESOURCE_UUID,
    virtio_gpu_resource_assign_uuid,
    virtio_gpu_resource_attach_backing,
    virtio_gpu_resource_create_2d,
    virtio_gpu_resource_create_3d,
    virtio_gpu_resource_detach_backing,
    virtio_gpu_resource_unref,
    virtio_gpu_resp_resource_uuid,
)


def create_2d(device: Device, request: Request, command: virtio_gpu_resource_create_2d) -> Answer:
    device.plane.resource_create_2d(*command)
    image = device.plane.resource_image_fd(command.resource_id)
    device.link.send(ResourceCreated(*command), [image])
    return OK


def create_3d(device: Device, request: Request, command: virtio_gpu_resource_create_3d) -> Answer:
    device.plane.resource_create_3d(command)
    device.link.send(Resource3DCreated(*command[:-1]))
    return OK


def unref(device: Device, request: Request, command: virtio_gpu_resource_unref) -> Answer:
    resource_id = command.resource_id
    device.plane.resource_unref(resource_id)
    device.pictures.tell()
    device.link.send(ResourceGone(resource_id))
    return OK


def attach_backing(
    device: Device, request: Request, command: virtio_gpu_resource_attach_backing
) -> Answer:
    resource_id = command.resource_id
    entries = entries_of(device, request, command.nr_entries)
    device.plane.resource_attach_backing(resource_id, entries, command.nr_entries)
    device.link.send(BackingAttached(resource_id, entries))
    return OK


def detach_backing(
    device: Device, request: Request, command: virtio_gpu_resource_detach_backing
) -> Answer:
    resource_id = command.resource_id
    device.plane.resource_detach_backing(resource_id)
    device.link.send(BackingDetached(resource_id))
    return OK


def assign_uuid(
    device: Device, request: Request, command: virtio_gpu_resource_assign_uuid
) -> Answer:
    resource_id = command.resource_id
    uuid = device.plane.resource_uuid(resource_id)
    if not uuid:
        uuid = new_uuid()
        device.plane.resource_set_uuid(resource_id, uuid)
        device.link.send(UuidAssigned(resource_id, uuid))
    return with_body(VIRTIO_GPU_RESP_OK_RESOURCE_UUID, virtio_gpu_resp_resource_uuid(uuid))


def new_uuid() -> bytes:
    """A random UUID (RFC 4122, version 4), without importing ``uuid``."""
    value = bytearray(os.urandom(16))
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)
