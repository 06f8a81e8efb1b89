# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Builders of the 3D commands (VIRTIO 1.2, 5.7.6.9), and of the few words of virgl's command stream that tests need."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from .commands import header


class Command3D(IntEnum):
    CTX_CREATE = 0x0200
    CTX_DESTROY = 0x0201
    CTX_ATTACH_RESOURCE = 0x0202
    CTX_DETACH_RESOURCE = 0x0203
    RESOURCE_CREATE_3D = 0x0204
    TRANSFER_TO_HOST_3D = 0x0205
    TRANSFER_FROM_HOST_3D = 0x0206
    SUBMIT_3D = 0x0207


class Target(IntEnum):
    """Gallium's pipe_texture_target."""

    BUFFER = 0
    TEXTURE_1D = 1
    TEXTURE_2D = 2
    TEXTURE_3D = 3
    TEXTURE_CUBE = 4
    TEXTURE_RECT = 5
    TEXTURE_1D_ARRAY = 6
    TEXTURE_2D_ARRAY = 7
    TEXTURE_CUBE_ARRAY = 8


BIND_RENDER_TARGET: Final = 1 << 1
BIND_SAMPLER_VIEW: Final = 1 << 3
BIND_VERTEX_BUFFER: Final = 1 << 4
BIND_CUSTOM: Final = 1 << 17
BIND_SCANOUT: Final = 1 << 18
FLAG_Y_0_TOP: Final = 1 << 0


Color = tuple[float, float, float, float]
"""Red, green, blue, alpha, each from 0 to 1."""


@dataclass(frozen=True)
class Box:
    x: int
    y: int
    z: int
    w: int
    h: int
    d: int

    def pack(self) -> bytes:
        return struct.pack("<6I", self.x, self.y, self.z, self.w, self.h, self.d)


@dataclass(frozen=True)
class Resource3D:
    """What RESOURCE_CREATE_3D says beside the number."""

    target: int = Target.TEXTURE_2D
    format: int = 1
    bind: int = BIND_RENDER_TARGET | BIND_SAMPLER_VIEW
    width: int = 64
    height: int = 64
    depth: int = 1
    array_size: int = 1
    last_level: int = 0
    nr_samples: int = 0
    flags: int = 0


def ctx_create(ctx_id: int, debug_name: bytes = b"test", context_init: int = 0) -> bytes:
    fields = struct.pack("<II64s", len(debug_name), context_init, debug_name)
    return header(Command3D.CTX_CREATE, ctx_id=ctx_id) + fields


def ctx_destroy(ctx_id: int) -> bytes:
    return header(Command3D.CTX_DESTROY, ctx_id=ctx_id)


def ctx_attach_resource(ctx_id: int, resource_id: int) -> bytes:
    fields = struct.pack("<II", resource_id, 0)
    return header(Command3D.CTX_ATTACH_RESOURCE, ctx_id=ctx_id) + fields


def ctx_detach_resource(ctx_id: int, resource_id: int) -> bytes:
    fields = struct.pack("<II", resource_id, 0)
    return header(Command3D.CTX_DETACH_RESOURCE, ctx_id=ctx_id) + fields


def resource_create_3d(resource_id: int, resource: Resource3D) -> bytes:
    fields = struct.pack(
        "<12I",
        resource_id,
        resource.target,
        resource.format,
        resource.bind,
        resource.width,
        resource.height,
        resource.depth,
        resource.array_size,
        resource.last_level,
        resource.nr_samples,
        resource.flags,
        0,
    )
    return header(Command3D.RESOURCE_CREATE_3D) + fields


def transfer_3d(
    command: Command3D,
    resource_id: int,
    box: Box,
    *,
    ctx_id: int = 0,
    offset: int = 0,
    level: int = 0,
    stride: int = 0,
    layer_stride: int = 0,
    fence_id: int | None = None,
) -> bytes:
    """TRANSFER_TO_HOST_3D or TRANSFER_FROM_HOST_3D; strides of 0 mean rows and layers without gaps."""
    fields = struct.pack("<Q4I", offset, resource_id, level, stride, layer_stride)
    return header(command, ctx_id=ctx_id, fence_id=fence_id) + box.pack() + fields


def submit_3d(
    ctx_id: int, stream: bytes, fence_id: int | None = None, ring_idx: int | None = None
) -> bytes:
    head = header(Command3D.SUBMIT_3D, ctx_id=ctx_id, fence_id=fence_id, ring_idx=ring_idx)
    return head + struct.pack("<II", len(stream), 0) + stream


# --- virgl's command stream: a word of command, object and length, then so many words


class Ccmd(IntEnum):
    """The commands of virgl's stream that tests use."""

    NOP = 0
    CREATE_OBJECT = 1
    BIND_OBJECT = 2
    SET_VIEWPORT_STATE = 4
    SET_FRAMEBUFFER_STATE = 5
    SET_VERTEX_BUFFERS = 6
    CLEAR = 7
    DRAW_VBO = 8
    SET_SAMPLER_VIEWS = 10
    RESOURCE_COPY_REGION = 17
    BIND_SAMPLER_STATES = 18
    BEGIN_QUERY = 19
    END_QUERY = 20
    GET_QUERY_RESULT = 21
    BIND_SHADER = 31
    TRANSFER3D = 43
    CLEAR_TEXTURE = 47
    PIPE_RESOURCE_CREATE = 48


OBJECT_SURFACE: Final = 8
OBJECT_QUERY: Final = 9
QUERY_OCCLUSION_PREDICATE: Final = 1
QUERY_STATE_DONE: Final = 1


def word(command: int, length: int, kind: int = 0) -> int:
    return command | kind << 8 | length << 16


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *(value & 0xFFFFFFFF for value in values))


NOP: Final = words(word(Ccmd.NOP, 0))


def clear(resource_id: int, format: int, color: Color) -> bytes:
    """Makes the resource (surface object 1) the framebuffer and fills it with ``color``."""
    surface = words(word(Ccmd.CREATE_OBJECT, 5, OBJECT_SURFACE), 1, resource_id, format, 0, 0)
    framebuffer = words(word(Ccmd.SET_FRAMEBUFFER_STATE, 3), 1, 0, 1)
    return surface + framebuffer + clear_framebuffer(color)


def clear_framebuffer(color: Color) -> bytes:
    """Fills what is the framebuffer already."""
    floats = struct.unpack("<4I", struct.pack("<4f", *color))
    # Buffers (colour 0), the colour, depth as a double, stencil.
    return words(word(Ccmd.CLEAR, 8), 1 << 2, *floats, 0, 0, 0)


def create_for_blob(blob_id: int, resource: Resource3D) -> bytes:
    """A texture that becomes the blob of that ``blob_id``."""
    length = 11
    return words(
        word(Ccmd.PIPE_RESOURCE_CREATE, length),
        *(resource.target, resource.format, resource.bind),
        *(resource.width, resource.height, resource.depth, resource.array_size),
        *(resource.last_level, resource.nr_samples, resource.flags, blob_id),
    )


def query(result_id: int) -> bytes:
    """Asks whether any sample passes (query object 2); state, size and result are written into the buffer."""
    created = words(
        word(Ccmd.CREATE_OBJECT, 4, OBJECT_QUERY), 2, QUERY_OCCLUSION_PREDICATE, 0, result_id
    )
    asked = words(word(Ccmd.BEGIN_QUERY, 1), 2, word(Ccmd.END_QUERY, 1), 2)
    return created + asked + words(word(Ccmd.GET_QUERY_RESULT, 2), 2, 0)


def copy_region(to: int, source: int, box: Box) -> bytes:
    """Copies a box of one resource to the same place of another."""
    x, y, z, *_ = numbers = struct.unpack("<6I", box.pack())
    return words(word(Ccmd.RESOURCE_COPY_REGION, 13), to, 0, x, y, z, source, 0, *numbers)


def read_back(resource_id: int, box: Box) -> bytes:
    """Reads a box into the resource's backing, as TRANSFER_FROM_HOST_3D does, from a stream."""
    numbers = struct.unpack("<6I", box.pack())
    # Level, usage, strides, the box, the offset, and the direction: from the host.
    return words(word(Ccmd.TRANSFER3D, 13), resource_id, 0, 0, 0, 0, *numbers, 0, 2)


def clear_texture_out_of_bounds(resource_id: int) -> bytes:
    """CLEAR_TEXTURE of layers that do not exist: crashes every release of libvirglrenderer so far."""
    box = (0, 0, 0x7FFFFFFF, 1, 1, 5)
    return words(word(Ccmd.CLEAR_TEXTURE, 12), resource_id, 0, *box, 0, 0, 0, 0)
