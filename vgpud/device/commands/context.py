# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""3D contexts: made, destroyed, given resources."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer
from vgpud.wire.virtio_gpu import (
    virtio_gpu_ctx_create,
    virtio_gpu_ctx_destroy,
    virtio_gpu_ctx_resource,
)


def create(device: Device, request: Request, command: virtio_gpu_ctx_create) -> Answer:
    ctx_id = request.hdr.ctx_id
    device.contexts.check_new(ctx_id)
    device.renderer.create_context(ctx_id, command)
    device.contexts.add(ctx_id)
    return OK


def destroy(device: Device, request: Request, command: virtio_gpu_ctx_destroy) -> Answer:
    ctx_id = request.hdr.ctx_id
    device.contexts.check(ctx_id)
    device.renderer.destroy_context(ctx_id)
    device.contexts.remove(ctx_id)
    return OK


def attach_resource(device: Device, request: Request, command: virtio_gpu_ctx_resource) -> Answer:
    device.contexts.check(request.hdr.ctx_id)
    resource = device.resources.get(command.resource_id)
    device.renderer.attach_resource(request.hdr.ctx_id, resource)
    return OK


def detach_resource(device: Device, request: Request, command: virtio_gpu_ctx_resource) -> Answer:
    device.contexts.check(request.hdr.ctx_id)
    resource = device.resources.get(command.resource_id)
    device.renderer.detach_resource(request.hdr.ctx_id, resource)
    return OK
