# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Checks that descriptors from a front-end are what they have to be."""

import os
import socket
import stat
from pathlib import Path

import trio

from vgpud.errors import FrontendError
from vgpud.link import rights


def stream_socket(descriptor: int) -> socket.socket:
    """Takes the descriptor; if it is not a Unix stream socket, closes it and raises
    ``FrontendError``.
    """
    try:
        end = socket.socket(fileno=descriptor)
    except OSError:
        rights.close([descriptor])
        raise FrontendError("a descriptor that has to be a socket is not one") from None
    if (end.family, end.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        end.close()
        raise FrontendError("a descriptor that has to be a stream socket is another kind of socket")
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
        raise FrontendError("a kick, call or err descriptor is not an eventfd")


def check_foreign(descriptor: int, connection: trio.socket.SocketType) -> None:
    """``FrontendError`` for a socket whose other end is ours: a connection that its own reader
    holds open never ends.
    """
    given, own = os.fstat(descriptor), os.fstat(connection.fileno())
    if not stat.S_ISSOCK(given.st_mode):
        return
    # Only a connection that was made by connect() has a name; the ends of a socket pair have none.
    place = connection.getsockname()
    same = (given.st_dev, given.st_ino) == (own.st_dev, own.st_ino)
    if same or (place and place in _names(descriptor)):
        raise FrontendError("a descriptor leads back to the front-end's own connection")


def _names(descriptor: int) -> list[object]:
    end = socket.socket(fileno=descriptor)
    try:
        return [end.getsockname(), end.getpeername()]
    except OSError:
        return [end.getsockname()]
    finally:
        end.detach()
