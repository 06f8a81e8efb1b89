# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""3D contexts: made, destroyed, given resources."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.device.responses import OK, Answer
from vgpud.errors import GuestError
from vgpud.link.messages import ContextCreated, ContextGone
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK,
    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    virtio_gpu_ctx_create,
    virtio_gpu_ctx_destroy,
    virtio_gpu_ctx_resource,
)


def create(device: Device, request: Request, command: virtio_gpu_ctx_create) -> Answer:
    ctx_id = request.hdr.ctx_id
    capset_id = command.context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK
    _check_context_init(device, command.context_init)
    name = _debug_name(command)
    device.plane.context_create(ctx_id, capset_id, name)
    device.link.send(ContextCreated(ctx_id, capset_id, name.decode(errors="replace")))
    return OK


def _check_context_init(device: Device, context_init: int) -> None:
    """Checks that such contexts exist: 0 is the renderer's choice; a renderer that offers no set
    ignores it.
    """
    offered = [capset.capset_id for capset in device.renderer.capsets]
    if offered and context_init not in (0, *(capset.capset_id for capset in device.capsets)):
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
            f"context_init {context_init:#x} names no capset that is offered",
        )


def destroy(device: Device, request: Request, command: virtio_gpu_ctx_destroy) -> Answer:
    ctx_id = request.hdr.ctx_id
    device.plane.context_destroy(ctx_id)
    device.link.send(ContextGone(ctx_id))
    return OK


def _debug_name(command: virtio_gpu_ctx_create) -> bytes:
    name = command.debug_name[: min(command.nlen, len(command.debug_name))]
    return name.partition(b"\0")[0]


def attach_resource(device: Device, request: Request, command: virtio_gpu_ctx_resource) -> Answer:
    device.plane.context_attach_resource(request.hdr.ctx_id, command.resource_id)
    return OK


def detach_resource(device: Device, request: Request, command: virtio_gpu_ctx_resource) -> Answer:
    device.plane.context_detach_resource(request.hdr.ctx_id, command.resource_id)
    return OK
