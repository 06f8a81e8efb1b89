# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Ends a connection that is not served, here and not in the daemon: closing what a VMM has put into
it may take as long as the VMM likes.
"""

import socket

from vgpud.link import rights

READ_BYTES = 64 * 1024


def discard(connection: socket.socket) -> None:
    """Takes a connection that was shut down, and closes all that is in it.

    It is read and not only closed, since the daemon's own copy may be closed last.
    """
    with connection:
        while _read(connection):
            pass


def _read(connection: socket.socket) -> bool:
    try:
        data, ancillary, _, _ = connection.recvmsg(
            READ_BYTES, rights.ANCILLARY_BYTES, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        )
    except OSError:
        return False
    rights.close(rights.unpack(ancillary))
    return bool(data)
