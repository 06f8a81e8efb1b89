# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""All that a session can ask its spawner for: a few wishes of one byte each, one of them with a
number.
"""

import struct
from collections.abc import Iterator

WISH_DEVICE = b"D"
"""A device process."""
WISH_VULKAN = b"R"
"""A device process that may have a render server, if one is installed."""
WISH_SERVER = b"B"
"""The start of that render server."""
WISH_END = b"K"
"""The end of its device process."""
WISH_SERVER_END = b"S"
"""The end of its render server and all of its workers."""
WISH_WORKER_END = b"C"
"""The end of the worker of a context, whose number follows."""

WISH_VIEW = b"V"
"""A view process."""
WISH_END_VIEWS = b"W"
"""The end of all of its view processes."""

_NUMBER = struct.Struct("<I")


def worker_end(ctx_id: int) -> bytes:
    """The bytes of WISH_WORKER_END and its number."""
    return WISH_WORKER_END + _NUMBER.pack(ctx_id)


class Wishes:
    """Makes wishes from the bytes of the pipe; whoever takes them passes over unknown ones."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        """The wishes that are complete now, each with its number, or 0."""
        self._begun += data
        while self._begun:
            wish, number = self._begun[:1], self._begun[1 : 1 + _NUMBER.size]
            if wish != WISH_WORKER_END:
                self._begun = self._begun[1:]
                yield wish, 0
            elif len(number) == _NUMBER.size:
                self._begun = self._begun[1 + _NUMBER.size :]
                yield wish, _NUMBER.unpack(number)[0]
            else:
                return
