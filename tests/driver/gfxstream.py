# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""gfxstream itself, which no registry has: where it is built is named by a variable; and the few words that a guest's driver says to it.

They have no specification: the library's ``virtgpu_gfxstream_protocol.h``.
"""

import os
import struct
from pathlib import Path

VARIABLE = "E2E_GFXSTREAM"
NOT_NAMED = (
    f"{VARIABLE} does not name a folder with librutabaga_gfx_ffi.so.0 and libgfxstream_backend.so.0,"
    " built on Debian 13"
)

VULKAN, GLES, COMPOSER = 3, 8, 9
"""Its capability sets."""
RING_SIZE = 12288 + (1 << 20)
"""Of the memory through which a context speaks, as the sets name it."""


def folder() -> Path | None:
    """Where the libraries are."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def begin_ring(resource_id: int) -> bytes:
    """Commands are read there from now on."""
    return struct.pack("<2I", 0x1001, resource_id)


def ping_ring(resource_id: int) -> bytes:
    return struct.pack("<2I", 0x1002, resource_id)


def nothing() -> bytes:
    return struct.pack("<3I", 0xF002, 0, 0)
