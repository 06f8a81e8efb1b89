# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Capability sets as a library has them."""

from typing import Any, NamedTuple

from vgpud.device.renderers.interface import Capset
from vgpud.native import ffi, lib


class Offered(NamedTuple):
    """A capability set and its data."""

    capset: Capset
    data: bytes


def offer(library: Any, capset_id: int) -> Offered | None:
    """A set of a library (``struct gpu_library``); ``None``: it does not have it."""
    version = ffi.new("uint32_t *")
    size = lib.gpu_library_capset_size(library, capset_id, version)
    if size <= 0:
        return None
    data = ffi.new("uint8_t[]", size)
    # Filled once: it takes milliseconds and never changes.
    lib.gpu_library_capset_fill(library, capset_id, version[0], data)
    return Offered(Capset(capset_id, int(version[0]), size), bytes(ffi.buffer(data)))
