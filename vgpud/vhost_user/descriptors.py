# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Descriptors that a front-end sends, as what they have to be."""

import socket
from pathlib import Path

from vgpud.errors import FrontendError
from vgpud.link import rights


def stream_socket(descriptor: int) -> socket.socket:
    """Takes the descriptor; closes what is no Unix stream socket and raises ``FrontendError``."""
    try:
        end = socket.socket(fileno=descriptor)
    except OSError:
        rights.close([descriptor])
        raise FrontendError("a descriptor that has to be a socket is none") from None
    if (end.family, end.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        end.close()
        raise FrontendError("a descriptor that has to be a stream socket is another")
    return end


def check_eventfd(descriptor: int) -> None:
    """``FrontendError`` unless it is an eventfd: the end of a closed pipe would never stop being
    readable.
    """
    try:
        what = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError as error:
        raise FrontendError(f"a descriptor that cannot be looked at: {error}") from error
    if what != "anon_inode:[eventfd]":
        raise FrontendError("a kick, call or err descriptor is no eventfd")
