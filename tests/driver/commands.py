# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Builders of virtio-gpu commands (VIRTIO 1.2, 5.7.6.7 and 5.7.6.8) and the reader of their responses.

Written from the specification and not from vgpud's own declarations, so that a mistake there cannot hide here.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

FLAG_FENCE: Final = 1 << 0
FLAG_INFO_RING_IDX: Final = 1 << 1
HEADER_SIZE: Final = 24
DISPLAY_INFO_SIZE: Final = 408
EDID_SIZE: Final = 1056
CAPSET_INFO_SIZE: Final = 40
RESOURCE_UUID_SIZE: Final = 40

_HEADER = struct.Struct("<IIQIB3x")


class Command(IntEnum):
    GET_DISPLAY_INFO = 0x0100
    RESOURCE_CREATE_2D = 0x0101
    RESOURCE_UNREF = 0x0102
    SET_SCANOUT = 0x0103
    RESOURCE_FLUSH = 0x0104
    TRANSFER_TO_HOST_2D = 0x0105
    RESOURCE_ATTACH_BACKING = 0x0106
    RESOURCE_DETACH_BACKING = 0x0107
    GET_CAPSET_INFO = 0x0108
    GET_CAPSET = 0x0109
    GET_EDID = 0x010A
    RESOURCE_ASSIGN_UUID = 0x010B
    RESOURCE_CREATE_BLOB = 0x010C
    SET_SCANOUT_BLOB = 0x010D
    UPDATE_CURSOR = 0x0300
    MOVE_CURSOR = 0x0301
    RESOURCE_MAP_BLOB = 0x0208
    RESOURCE_UNMAP_BLOB = 0x0209


class ResponseType(IntEnum):
    OK_NODATA = 0x1100
    OK_DISPLAY_INFO = 0x1101
    OK_CAPSET_INFO = 0x1102
    OK_CAPSET = 0x1103
    OK_EDID = 0x1104
    OK_RESOURCE_UUID = 0x1105
    OK_MAP_INFO = 0x1106
    ERR_UNSPEC = 0x1200
    ERR_OUT_OF_MEMORY = 0x1201
    ERR_INVALID_SCANOUT_ID = 0x1202
    ERR_INVALID_RESOURCE_ID = 0x1203
    ERR_INVALID_CONTEXT_ID = 0x1204
    ERR_INVALID_PARAMETER = 0x1205


class Format(IntEnum):
    """VIRTIO 1.2, 5.7.6.8: named in memory order."""

    B8G8R8A8_UNORM = 1
    B8G8R8X8_UNORM = 2
    A8R8G8B8_UNORM = 3
    X8R8G8B8_UNORM = 4
    R8G8B8A8_UNORM = 67
    X8B8G8R8_UNORM = 68
    A8B8G8R8_UNORM = 121
    R8G8B8X8_UNORM = 134


@dataclass(frozen=True)
class Rectangle:
    x: int
    y: int
    width: int
    height: int

    def pack(self) -> bytes:
        return struct.pack("<4I", self.x, self.y, self.width, self.height)


@dataclass(frozen=True)
class Response:
    """A response as the guest finds it in its buffer; ``length`` is what the used ring says was written."""

    type: int
    flags: int
    fence_id: int
    ctx_id: int
    ring_idx: int
    data: bytes
    length: int

    @property
    def ok(self) -> bool:
        return 0x1100 <= self.type < 0x1200


def read_response(raw: bytes, length: int) -> Response:
    response_type, flags, fence_id, ctx_id, ring_idx = _HEADER.unpack_from(raw)
    body = raw[HEADER_SIZE:]
    return Response(response_type, flags, fence_id, ctx_id, ring_idx, body, length)


def header(
    command: int,
    *,
    fence_id: int | None = None,
    ctx_id: int = 0,
    ring_idx: int | None = None,
    flags: int = 0,
) -> bytes:
    """A ``virtio_gpu_ctrl_hdr``; a fence or a ring that is given sets its flag."""
    flags |= FLAG_FENCE if fence_id is not None else 0
    flags |= FLAG_INFO_RING_IDX if ring_idx is not None else 0
    return _HEADER.pack(command, flags, fence_id or 0, ctx_id, ring_idx or 0)


def get_display_info(fence_id: int | None = None) -> bytes:
    return header(Command.GET_DISPLAY_INFO, fence_id=fence_id)


def get_edid(scanout: int, fence_id: int | None = None) -> bytes:
    return header(Command.GET_EDID, fence_id=fence_id) + struct.pack("<II", scanout, 0)


def resource_create_2d(
    resource_id: int, pixel_format: int, width: int, height: int, fence_id: int | None = None
) -> bytes:
    fields = struct.pack("<4I", resource_id, pixel_format, width, height)
    return header(Command.RESOURCE_CREATE_2D, fence_id=fence_id) + fields


def resource_unref(resource_id: int, fence_id: int | None = None) -> bytes:
    return header(Command.RESOURCE_UNREF, fence_id=fence_id) + struct.pack("<II", resource_id, 0)


def resource_attach_backing(
    resource_id: int, entries: list[tuple[int, int]], fence_id: int | None = None
) -> bytes:
    """``entries``: guest address and length of each piece, in order."""
    fields = struct.pack("<II", resource_id, len(entries))
    pieces = b"".join(struct.pack("<QII", address, length, 0) for address, length in entries)
    return header(Command.RESOURCE_ATTACH_BACKING, fence_id=fence_id) + fields + pieces


def resource_detach_backing(resource_id: int, fence_id: int | None = None) -> bytes:
    fields = struct.pack("<II", resource_id, 0)
    return header(Command.RESOURCE_DETACH_BACKING, fence_id=fence_id) + fields


def set_scanout(
    scanout_id: int, resource_id: int, rectangle: Rectangle, fence_id: int | None = None
) -> bytes:
    fields = struct.pack("<II", scanout_id, resource_id)
    return header(Command.SET_SCANOUT, fence_id=fence_id) + rectangle.pack() + fields


def transfer_to_host_2d(
    resource_id: int, rectangle: Rectangle, offset: int = 0, fence_id: int | None = None
) -> bytes:
    """``offset``: bytes into the backing at which the rectangle's first pixel lies."""
    fields = struct.pack("<QII", offset, resource_id, 0)
    return header(Command.TRANSFER_TO_HOST_2D, fence_id=fence_id) + rectangle.pack() + fields


def resource_flush(resource_id: int, rectangle: Rectangle, fence_id: int | None = None) -> bytes:
    fields = struct.pack("<II", resource_id, 0)
    return header(Command.RESOURCE_FLUSH, fence_id=fence_id) + rectangle.pack() + fields


def get_capset_info(capset_index: int) -> bytes:
    return header(Command.GET_CAPSET_INFO) + struct.pack("<II", capset_index, 0)


def get_capset(capset_id: int, version: int) -> bytes:
    return header(Command.GET_CAPSET) + struct.pack("<II", capset_id, version)


def resource_assign_uuid(resource_id: int, fence_id: int | None = None) -> bytes:
    fields = struct.pack("<II", resource_id, 0)
    return header(Command.RESOURCE_ASSIGN_UUID, fence_id=fence_id) + fields


BLOB_MEM_GUEST: Final = 1
BLOB_MEM_HOST3D: Final = 2
BLOB_MEM_HOST3D_GUEST: Final = 3
BLOB_FLAG_MAPPABLE: Final = 1
MAP_INFO_SIZE: Final = 32
MAP_CACHE_CACHED: Final = 1


def resource_create_blob(
    resource_id: int,
    size: int,
    entries: list[tuple[int, int]],
    *,
    blob_mem: int = BLOB_MEM_GUEST,
    blob_flags: int = 2,  # VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE, as Linux has it for its framebuffers
    blob_id: int = 0,
    ctx_id: int = 0,
) -> bytes:
    """``size`` in bytes; ``entries``: guest address and length of each piece, in order."""
    fields = struct.pack("<4IQQ", resource_id, blob_mem, blob_flags, len(entries), blob_id, size)
    pieces = b"".join(struct.pack("<QII", address, length, 0) for address, length in entries)
    return header(Command.RESOURCE_CREATE_BLOB, ctx_id=ctx_id) + fields + pieces


def create_host_blob(resource_id: int, size: int, ctx_id: int = 1, blob_id: int = 0) -> bytes:
    """A blob of the host's memory that can be mapped."""
    return resource_create_blob(
        resource_id,
        size,
        [],
        blob_mem=BLOB_MEM_HOST3D,
        blob_flags=BLOB_FLAG_MAPPABLE,
        blob_id=blob_id,
        ctx_id=ctx_id,
    )


@dataclass(frozen=True)
class Plane:
    """Where the pixels of a framebuffer lie in a blob: ``stride`` and ``offset`` in bytes."""

    width: int
    height: int
    format: int
    stride: int
    offset: int = 0


def set_scanout_blob(
    scanout_id: int, resource_id: int, rectangle: Rectangle, plane: Plane
) -> bytes:
    fields = struct.pack("<6I", scanout_id, resource_id, plane.width, plane.height, plane.format, 0)
    planes = struct.pack("<8I", plane.stride, 0, 0, 0, plane.offset, 0, 0, 0)
    return header(Command.SET_SCANOUT_BLOB) + rectangle.pack() + fields + planes


def resource_map_blob(resource_id: int, offset: int = 0, fence_id: int | None = None) -> bytes:
    """``offset``: bytes into the host-visible memory."""
    fields = struct.pack("<IIQ", resource_id, 0, offset)
    return header(Command.RESOURCE_MAP_BLOB, fence_id=fence_id) + fields


def resource_unmap_blob(resource_id: int) -> bytes:
    return header(Command.RESOURCE_UNMAP_BLOB) + struct.pack("<II", resource_id, 0)


def update_cursor(
    scanout_id: int, x: int, y: int, resource_id: int, hot_x: int = 0, hot_y: int = 0
) -> bytes:
    """``resource_id`` 0 hides the cursor."""
    fields = struct.pack("<8I", scanout_id, x, y, 0, resource_id, hot_x, hot_y, 0)
    return header(Command.UPDATE_CURSOR) + fields


def move_cursor(scanout_id: int, x: int, y: int, resource_id: int = 0) -> bytes:
    """Linux repeats the picture's ``resource_id``, although only the position counts; QEMU's C backend hides the cursor at 0."""
    fields = struct.pack("<8I", scanout_id, x, y, 0, resource_id, 0, 0, 0)
    return header(Command.MOVE_CURSOR) + fields
