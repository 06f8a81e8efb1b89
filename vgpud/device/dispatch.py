# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""From the bytes of a command to its function, and from that function's result to the guest's
response.
"""

import errno
from collections.abc import Callable
from typing import Any, NamedTuple

from vgpud.device.commands import Request, blob, capset, context, display, resource, scanout
from vgpud.device.dataplane import Exit
from vgpud.device.device import Device
from vgpud.device.renderers.interface import Group
from vgpud.device.responses import Answer, Response, refusal
from vgpud.errors import GuestError
from vgpud.wire import virtio_gpu as wire
from vgpud.wire.layout import TruncatedError, size_of, unpack


class Command(NamedTuple):
    """How a command is carried out; ``structure`` is what follows its header, if anything."""

    function: Callable[[Device, Request, Any], Answer]
    structure: type[Any] | None
    group: Group = Group.IMAGES


COMMANDS = {
    wire.VIRTIO_GPU_CMD_GET_DISPLAY_INFO: Command(display.get_display_info, None),
    wire.VIRTIO_GPU_CMD_GET_EDID: Command(display.get_edid, wire.virtio_gpu_cmd_get_edid),
    wire.VIRTIO_GPU_CMD_RESOURCE_CREATE_2D: Command(
        resource.create_2d, wire.virtio_gpu_resource_create_2d
    ),
    wire.VIRTIO_GPU_CMD_RESOURCE_UNREF: Command(resource.unref, wire.virtio_gpu_resource_unref),
    wire.VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING: Command(
        resource.attach_backing, wire.virtio_gpu_resource_attach_backing
    ),
    wire.VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING: Command(
        resource.detach_backing, wire.virtio_gpu_resource_detach_backing
    ),
    wire.VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID: Command(
        resource.assign_uuid, wire.virtio_gpu_resource_assign_uuid
    ),
    wire.VIRTIO_GPU_CMD_SET_SCANOUT: Command(scanout.set_scanout, wire.virtio_gpu_set_scanout),
    wire.VIRTIO_GPU_CMD_GET_CAPSET_INFO: Command(
        capset.get_capset_info, wire.virtio_gpu_get_capset_info
    ),
    wire.VIRTIO_GPU_CMD_GET_CAPSET: Command(capset.get_capset, wire.virtio_gpu_get_capset),
    wire.VIRTIO_GPU_CMD_CTX_CREATE: Command(
        context.create, wire.virtio_gpu_ctx_create, Group.CONTEXTS
    ),
    wire.VIRTIO_GPU_CMD_CTX_DESTROY: Command(
        context.destroy, wire.virtio_gpu_ctx_destroy, Group.CONTEXTS
    ),
    wire.VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE: Command(
        context.attach_resource, wire.virtio_gpu_ctx_resource, Group.CONTEXTS
    ),
    wire.VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE: Command(
        context.detach_resource, wire.virtio_gpu_ctx_resource, Group.CONTEXTS
    ),
    wire.VIRTIO_GPU_CMD_RESOURCE_CREATE_3D: Command(
        resource.create_3d, wire.virtio_gpu_resource_create_3d, Group.CONTEXTS
    ),
    wire.VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB: Command(
        blob.create, wire.virtio_gpu_resource_create_blob, Group.BLOBS
    ),
    wire.VIRTIO_GPU_CMD_SET_SCANOUT_BLOB: Command(
        blob.set_scanout, wire.virtio_gpu_set_scanout_blob, Group.BLOBS
    ),
    wire.VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB: Command(
        blob.map_blob, wire.virtio_gpu_resource_map_blob, Group.BLOBS
    ),
    wire.VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB: Command(
        blob.unmap_blob, wire.virtio_gpu_resource_unmap_blob, Group.BLOBS
    ),
}

# The feature that must be negotiated before a group's commands exist.  A front-end may not pass a
# feature on to its guest, as QEMU's vhost-user-gpu does with this one.
FEATURES = {Group.BLOBS: wire.VIRTIO_GPU_F_RESOURCE_BLOB}

# Our own words for errors whose system text would mislead.
WORDS = {
    errno.ENOENT: "there is no such resource",
    errno.EEXIST: "that resource number is taken, or 0",
    errno.ESRCH: "there is no such context",
    errno.EALREADY: "that context number is taken, or 0",
    errno.ENODEV: "there is no such scanout",
}

HEADER_SIZE = size_of(wire.virtio_gpu_ctrl_hdr)


def dispatch(device: Device, out: Exit) -> None:
    """Carries out the command that ``run`` has returned with, and answers it, or leaves it waiting."""
    answer = _answer(device, out)
    if isinstance(answer, Response):
        device.respond(out.chain, answer)


def _answer(device: Device, out: Exit) -> Answer:
    try:
        command, request, structure = decode(device, out)
    except GuestError as error:
        return _refuse(device, error.response_type, str(error))
    try:
        return command.function(device, request, structure)
    except GuestError as error:
        return _refuse(device, error.response_type, f"{_name(command)}: {error}")
    except OSError as error:
        response_type = refusal(error.errno or 0).type
        words = WORDS.get(error.errno or 0, error.strerror)
        return _refuse(device, response_type, f"{_name(command)}: {words}: {structure}")


def decode(device: Device, out: Exit) -> tuple[Command, Request, Any]:
    """The command, its request and its structure; ``GuestError`` when there is no such command."""
    try:
        hdr = unpack(wire.virtio_gpu_ctrl_hdr, out.request)
        command = COMMANDS.get(hdr.type)
        if command is None or not _is_offered(device, command.group):
            raise GuestError(
                wire.VIRTIO_GPU_RESP_ERR_UNSPEC,
                f"command {hdr.type:#06x} does not exist in {device.renderer.description}",
            )
        if command.structure is None:
            return command, Request(out.chain, hdr, out.request[HEADER_SIZE:]), None
        structure = unpack(command.structure, out.request, HEADER_SIZE)
    except TruncatedError as error:
        raise GuestError(wire.VIRTIO_GPU_RESP_ERR_UNSPEC, str(error)) from None
    rest = out.request[HEADER_SIZE + size_of(command.structure) :]
    return command, Request(out.chain, hdr, rest), structure


def _is_offered(device: Device, group: Group) -> bool:
    """Whether the mode has these commands, and the front-end and the guest have agreed on them."""
    feature = FEATURES.get(group)
    return group in device.renderer.groups and (
        feature is None or bool(device.features & 1 << feature)
    )


def _name(command: Command) -> str:
    return command.function.__name__


def _refuse(device: Device, response_type: int, text: str) -> Response:
    device.guest_log.write(text)
    return Response(response_type)
