# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Resources: made, destroyed, tied to guest memory, given a UUID."""

from vgpud.device.commands import Request
from vgpud.device.commands.entries import entries_of
from vgpud.device.device import Device
from vgpud.device.resources import Kind, Resource, new_uuid
from vgpud.device.responses import OK, Answer, with_body
from vgpud.link.messages import (
    BackingAttached,
    BackingDetached,
    Journal,
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
    device.resources.check_new(command.resource_id)
    device.renderer.create_2d(command)
    device.resources.add(command.resource_id, Kind.IMAGE_2D)
    image = device.plane.resource_image_fd(command.resource_id)
    device.link.send(ResourceCreated(*command), [image])
    return OK


def create_3d(device: Device, request: Request, command: virtio_gpu_resource_create_3d) -> Answer:
    device.resources.check_new(command.resource_id)
    device.renderer.create_3d(command)
    device.resources.add(command.resource_id, Kind.IMAGE_3D)
    device.link.send(Resource3DCreated(*command[:-1]))
    return OK


def unref(device: Device, request: Request, command: virtio_gpu_resource_unref) -> Answer:
    resource = device.resources.get(command.resource_id)
    device.renderer.unref(resource)
    device.resources.remove(resource.resource_id)
    _journal(device, resource, ResourceGone(resource.resource_id))
    return OK


def attach_backing(
    device: Device, request: Request, command: virtio_gpu_resource_attach_backing
) -> Answer:
    resource = device.resources.get(command.resource_id)
    entries = entries_of(device, request, command.nr_entries)
    device.renderer.attach_backing(resource, entries, command.nr_entries)
    _journal(device, resource, BackingAttached(resource.resource_id, entries))
    return OK


def detach_backing(
    device: Device, request: Request, command: virtio_gpu_resource_detach_backing
) -> Answer:
    resource = device.resources.get(command.resource_id)
    device.renderer.detach_backing(resource)
    _journal(device, resource, BackingDetached(resource.resource_id))
    return OK


def assign_uuid(
    device: Device, request: Request, command: virtio_gpu_resource_assign_uuid
) -> Answer:
    resource = device.resources.get(command.resource_id)
    uuid = resource.uuid
    if not uuid:
        uuid = new_uuid()
        device.resources.set_uuid(resource.resource_id, uuid)
        _journal(device, resource, UuidAssigned(resource.resource_id, uuid))
    return with_body(VIRTIO_GPU_RESP_OK_RESOURCE_UUID, virtio_gpu_resp_resource_uuid(uuid))


def _journal(device: Device, resource: Resource, message: Journal) -> None:
    """Tells the session what it has to rebuild."""
    if resource.kind is not Kind.BLOB:
        device.link.send(message)
