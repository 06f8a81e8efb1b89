# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""File descriptors as ancillary data (SCM_RIGHTS).

``socket.recv_fds`` is not used: in CPython 3.11 it drops its flags, MSG_DONTWAIT and
MSG_CMSG_CLOEXEC among them.
"""

import array
import os
import socket
from collections.abc import Iterable, Sequence

MAXIMUM_DESCRIPTORS = 253  # SCM_MAX_FD of the kernel
ANCILLARY_BYTES = socket.CMSG_SPACE(MAXIMUM_DESCRIPTORS * 4)

Ancillary = tuple[int, int, bytes]


def pack(descriptors: Sequence[int]) -> list[Ancillary]:
    """The ancillary data with which ``sendmsg`` sends copies of the descriptors."""
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())]


def unpack(ancillary: Iterable[Ancillary]) -> list[int]:
    """The descriptors in what ``recvmsg`` got; they belong to the caller."""
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return list(descriptors)


def close(descriptors: Iterable[int]) -> None:
    """Closes each of them."""
    for descriptor in descriptors:
        os.close(descriptor)
