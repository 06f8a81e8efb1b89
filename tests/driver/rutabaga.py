# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The real librutabaga_gfx_ffi, where the set-up script has built one, and what a guest says in its cross-domain contexts.

The protocol has no specification: ``struct CrossDomain...`` of the library's.
"""

import functools
import os
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SET_UP = Path(__file__).parents[2] / "contrib" / "setup" / "rutabaga"
NOT_BUILT = "librutabaga_gfx_ffi is not built (contrib/setup/rutabaga)"

CROSS_DOMAIN = 5
QUERY_RING, CHANNEL_RING = 0, 1
WAYLAND = 1
INIT, GET_IMAGE_REQUIREMENTS, POLL, SEND, RECEIVE = range(1, 6)
LINEAR, SCANOUT = 1 << 4, 1 << 0
XR24 = 0x34325258
_HEADER = struct.Struct("<BBHI")
_REQUIREMENTS = struct.Struct("<4I4IQQIIii")
_IDENTIFIERS = 28


@functools.cache
def folder() -> Path | None:
    """Where the library is."""
    found = subprocess.run([SET_UP, "--find"], stdout=subprocess.PIPE, check=True, text=True)
    return Path(found.stdout.strip()) if found.stdout.strip() else None


def environment() -> Mapping[str, str]:
    """In which the library is found."""
    place = folder()
    assert place is not None
    return os.environ | {"LD_LIBRARY_PATH": str(place)}


def _command(command: int, fields: bytes = b"") -> bytes:
    return _HEADER.pack(command, 0, _HEADER.size + len(fields), 0) + fields


def init(query_ring: int, channel_ring: int, channel: int = 0) -> bytes:
    """The rings are numbers of guest blobs; channel 0: none."""
    return _command(INIT, struct.pack("<3I", query_ring, channel_ring, channel))


def image_requirements(width: int, height: int, format: int = XR24, flags: int = LINEAR) -> bytes:
    """The answer is written into the query ring."""
    return _command(GET_IMAGE_REQUIREMENTS, struct.pack("<4I", width, height, format, flags))


def poll() -> bytes:
    """With a fence of the channel's ring, which passes when something came."""
    return _command(POLL)


def send(data: bytes, resources: tuple[int, ...] = ()) -> bytes:
    """To the channel, with resources as descriptors."""
    numbers = [*resources, *[0] * (_IDENTIFIERS - len(resources))]
    kinds = [1] * len(resources) + [0] * (_IDENTIFIERS - len(resources))
    fields = struct.pack(
        f"<2I{3 * _IDENTIFIERS}I", len(resources), len(data), *numbers, *kinds, *[0] * _IDENTIFIERS
    )
    padding = b"\0" * (-len(data) % 4)
    return (
        _HEADER.pack(SEND, 0, _HEADER.size + len(fields) + len(data) + len(padding), 0)
        + fields
        + data
        + padding
    )


class Received(NamedTuple):
    """What a channel's ring has: how many descriptors came, and the data."""

    descriptors: int
    data: bytes


def received(ring: bytes) -> Received:
    command, *_ = _HEADER.unpack_from(ring)
    assert command == RECEIVE
    count, length = struct.unpack_from("<2I", ring, _HEADER.size)
    begin = _HEADER.size + 8 + 3 * 4 * _IDENTIFIERS
    return Received(count, ring[begin : begin + length])


class Requirements(NamedTuple):
    """Of an image, in bytes; ``blob_id`` is what a blob for it is made of."""

    stride: int
    size: int
    blob_id: int


def requirements(ring: bytes) -> Requirements:
    """As they stand in the query ring."""
    fields = _REQUIREMENTS.unpack_from(ring)
    return Requirements(fields[0], fields[9], fields[10])
