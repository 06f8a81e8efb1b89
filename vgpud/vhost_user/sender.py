# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which process a front-end is, from what the kernel says about the sender of its messages.

Another process may have connected, or made the socket pair: libvirt does both for QEMU.  And a
front-end may have gone although its connection has not ended, since anybody may hold the other end
open, even we ourselves, when it was given to us as a display.
"""

import os
import select
import socket
from collections.abc import Iterable

import trio

from vgpud.link import credentials
from vgpud.link.rights import Ancillary

CREDENTIALS_BYTES = socket.CMSG_SPACE(credentials.BYTES)
# How long a connection may go on after its process's end before another process sends something.
GRACE_SECONDS = 1.0


def name_senders(end: socket.socket | trio.socket.SocketType) -> None:
    """Has each message bring its sender's credentials; at a listener, also those that are sent before
    the connection is accepted.
    """
    end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def sender_in(ancillary: Iterable[Ancillary]) -> int:
    """The process in what ``recvmsg`` got; 0 when it is none that can be named from here."""
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return credentials.unpack(content).process
    return 0


class Sender:
    """The sender of the last message: another process may go on with a connection.

    ``known`` is set with the first message.
    """

    def __init__(self) -> None:
        self.pid: int | None = None
        self.known = trio.Event()
        self._watching = trio.CancelScope()

    def note(self, process_id: int) -> None:
        """``process_id`` is 0 for a process that cannot be named here."""
        self.known.set()
        if (process_id or None) != self.pid:
            self.pid = process_id or None
            self._watching.cancel()

    async def left(self, end: trio.socket.SocketType) -> int:
        """Returns the sender when it has ended and nothing follows at ``end``, not even the end of
        the file.  Never returns for a sender that cannot be named.
        """
        while True:
            with trio.CancelScope() as self._watching:
                pid = self.pid
                await _end_of(pid)
                while True:
                    await trio.sleep(GRACE_SECONDS)
                    if pid is not None and not _has_more(end):
                        return pid


async def _end_of(process_id: int | None) -> None:
    """Waits for the end of a process; for ever if it cannot be named or watched."""
    try:
        process = None if process_id is None else os.pidfd_open(process_id)
    except ProcessLookupError:
        return
    except OSError:
        process = None  # descriptors have run out, or the call is not allowed here
    if process is None:
        await trio.sleep_forever()
    try:
        await trio.lowlevel.wait_readable(process)
    finally:
        os.close(process)


def _has_more(end: trio.socket.SocketType) -> bool:
    """Whether there is something to read, also the end of the file."""
    poll = select.poll()
    poll.register(end.fileno(), select.POLLIN | select.POLLRDHUP)
    return bool(poll.poll(0))
