# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""3D contexts: made, destroyed, given resources."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer
from vgpud.link.messages import ContextCreated, ContextGone
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK,
    virtio_gpu_ctx_create,
    virtio_gpu_ctx_destroy,
    virtio_gpu_ctx_resource,
)


def create(device: Device, request: Request, command: virtio_gpu_ctx_create) -> Answer:
    ctx_id = request.hdr.ctx_id
    device.contexts.check_new(ctx_id)
    device.renderer.create_context(ctx_id, command)
    device.contexts.add(ctx_id)
    device.link.send(ContextCreated(ctx_id, _capset_id(command), _debug_name(command)))
    return OK


def destroy(device: Device, request: Request, command: virtio_gpu_ctx_destroy) -> Answer:
    ctx_id = request.hdr.ctx_id
    device.contexts.check(ctx_id)
    device.renderer.destroy_context(ctx_id)
    device.contexts.remove(ctx_id)
    device.link.send(ContextGone(ctx_id))
    return OK


def _capset_id(command: virtio_gpu_ctx_create) -> int:
    return command.context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK


def _debug_name(command: virtio_gpu_ctx_create) -> str:
    name = command.debug_name[: min(command.nlen, len(command.debug_name))]
    return name.partition(b"\0")[0].decode(errors="replace")


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
