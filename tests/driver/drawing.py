# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""virgl's command stream for a triangle that covers the framebuffer and shows a texture, with all that it takes."""

import struct
from enum import IntEnum
from typing import Final

from .commands_3d import BIND_VERTEX_BUFFER, OBJECT_SURFACE, Ccmd, Resource3D, Target, word, words

# Corners as x, y, z, w: the middle half of each side is outside.
VERTICES: Final = struct.pack("<12f", -1, -1, 0, 1, 3, -1, 0, 1, -1, 3, 0, 1)
VERTEX_BYTES: Final = 16
VERTEX_BUFFER: Final = Resource3D(Target.BUFFER, 64, BIND_VERTEX_BUFFER, len(VERTICES), 1)

# Gallium's numbers.
R32G32B32A32_FLOAT: Final = 31
TRIANGLES: Final = 4
VERTEX, FRAGMENT = 0, 1
ALL_CHANNELS: Final = 0xF
RED_GREEN_BLUE_ALPHA: Final = 0 | 1 << 3 | 2 << 6 | 3 << 9
DEPTH_CLIP: Final = 1 << 1

VERTEX_SHADER: Final = b"""VERT
DCL IN[0]
DCL OUT[0], POSITION
DCL OUT[1], GENERIC[0]
  0: MOV OUT[0], IN[0]
  1: MOV OUT[1], IN[0]
  2: END
"""
FRAGMENT_SHADER: Final = b"""FRAG
DCL IN[0], GENERIC[0], PERSPECTIVE
DCL OUT[0], COLOR
DCL SAMP[0]
DCL SVIEW[0], 2D, FLOAT
  0: TEX OUT[0], IN[0], SAMP[0], 2D
  1: END
"""


class Kind(IntEnum):
    """Of a context's objects, as the stream numbers them."""

    BLEND = 1
    RASTERIZER = 2
    DEPTH_STENCIL_ALPHA = 3
    SHADER = 4
    VERTEX_ELEMENTS = 5
    SAMPLER_VIEW = 6
    SAMPLER_STATE = 7
    SURFACE = OBJECT_SURFACE


class Handle(IntEnum):
    """The objects that are made here."""

    SURFACE = 1
    BLEND = 11
    RASTERIZER = 12
    DEPTH_STENCIL_ALPHA = 13
    VERTEX_SHADER = 14
    FRAGMENT_SHADER = 15
    VERTEX_ELEMENTS = 16
    SAMPLER_VIEW = 17
    SAMPLER_STATE = 18


def _command(command: Ccmd, *values: int, kind: int = 0) -> bytes:
    return words(word(command, len(values), kind), *values)


def _create(kind: Kind, handle: Handle, *values: int) -> bytes:
    return _command(Ccmd.CREATE_OBJECT, handle, *values, kind=kind)


def _bound(kind: Kind, handle: Handle, *values: int) -> bytes:
    return _create(kind, handle, *values) + _command(Ccmd.BIND_OBJECT, handle, kind=kind)


def _shader(handle: Handle, stage: int, text: bytes) -> bytes:
    text += b"\0"
    padded = text + bytes(-len(text) % 4)
    # The length of its text, the most tokens that it may become, and no output to a stream.
    head = (handle, stage, len(text), 300, 0)
    packed = struct.unpack(f"<{len(padded) // 4}I", padded)
    created = _command(Ccmd.CREATE_OBJECT, *head, *packed, kind=Kind.SHADER)
    return created + _command(Ccmd.BIND_SHADER, handle, stage)


def _floats(*values: float) -> tuple[int, ...]:
    return struct.unpack(f"<{len(values)}I", struct.pack(f"<{len(values)}f", *values))


def set_up(shown: int, texture: int, vertices: int, format: int, side: int) -> bytes:
    """Binds everything: the resource that is drawn into, the texture, both square and of that format, and the buffer
    of vertices.
    """
    half = side / 2
    view = (texture, format | Target.TEXTURE_2D << 24, 0, 0, RED_GREEN_BLUE_ALPHA)
    return b"".join(
        [
            _create(Kind.SURFACE, Handle.SURFACE, shown, format, 0, 0),
            _command(Ccmd.SET_FRAMEBUFFER_STATE, 1, 0, Handle.SURFACE),
            _command(Ccmd.SET_VIEWPORT_STATE, 0, *_floats(half, half, 0.5, half, half, 0.5)),
            _bound(Kind.BLEND, Handle.BLEND, 0, 0, ALL_CHANNELS << 27, *[0] * 7),
            _bound(Kind.RASTERIZER, Handle.RASTERIZER, DEPTH_CLIP, 0, 0, 0, *_floats(1, 0, 0, 0)),
            _bound(Kind.DEPTH_STENCIL_ALPHA, Handle.DEPTH_STENCIL_ALPHA, 0, 0, 0, 0),
            _shader(Handle.VERTEX_SHADER, VERTEX, VERTEX_SHADER),
            _shader(Handle.FRAGMENT_SHADER, FRAGMENT, FRAGMENT_SHADER),
            _bound(Kind.VERTEX_ELEMENTS, Handle.VERTEX_ELEMENTS, 0, 0, 0, R32G32B32A32_FLOAT),
            _command(Ccmd.SET_VERTEX_BUFFERS, VERTEX_BYTES, 0, vertices),
            _create(Kind.SAMPLER_VIEW, Handle.SAMPLER_VIEW, *view),
            _command(Ccmd.SET_SAMPLER_VIEWS, FRAGMENT, 0, Handle.SAMPLER_VIEW),
            _create(Kind.SAMPLER_STATE, Handle.SAMPLER_STATE, *[0] * 8),
            _command(Ccmd.BIND_SAMPLER_STATES, FRAGMENT, 0, Handle.SAMPLER_STATE),
        ]
    )


def draw() -> bytes:
    """The triangle, with what is bound."""
    # From the first vertex on, three, not indexed, one instance; no restart; indices 0 to 2.
    return _command(Ccmd.DRAW_VBO, 0, 3, TRIANGLES, 0, 1, 0, 0, 0, 0, 0, 2, 0)
