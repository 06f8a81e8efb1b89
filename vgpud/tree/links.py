# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The pairs of descriptors of links, made by the process above."""

import fcntl
import os
import socket
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

PIPE_BYTES = 16 * 1024
BELL_BYTES = 4 * 1024
"""The size of a pipe that carries single bytes.  Pipes are small, since the kernel counts their
pages for each user.
"""

SENT_BYTES = 4 * 1024
"""How much that a device process has sent may wait to be read: each packet may carry 253
descriptors, which the kernel counts for the user.
"""


class NewLinks:
    """Links under construction, in a ``with`` statement.  At its end the lower ends are closed, of
    which other processes get copies; the upper ends, which the maker keeps, are closed only after
    an error.
    """

    def __init__(self) -> None:
        self._lower = ExitStack()
        self._upper = ExitStack()
        self._keeps = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lower.close()
        if error is not None or not self._keeps:
            self._upper.close()

    def orders(self) -> tuple[socket.socket, int]:
        """Both ends for packets that go down: nothing can be queued towards the upper end, whoever
        has the lower.
        """
        upper, lower = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._upper.callback(upper.close)
        self._lower.callback(lower.close)
        upper.shutdown(socket.SHUT_RD)
        upper.setblocking(False)
        lower.setblocking(False)
        return upper, lower.fileno()

    def reports(self, size: int = PIPE_BYTES, keep: bool = False) -> tuple[int, int]:
        """The reading (upper) end of a pipe and the writing end, which is kept too with ``keep``.
        Neither blocks.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._upper.callback(os.close, reading)
        (self._upper if keep else self._lower).callback(os.close, writing)
        with suppress(PermissionError):
            # A user at the kernel's soft limit gets pipes of two pages, which may not grow; they
            # are enough.
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size)
        return reading, writing

    def keep_nothing(self) -> None:
        """The upper ends go to other processes too."""
        self._keeps = False

    def link(self) -> tuple[int, int]:
        """A session's end and its device process's, both sent to processes below."""
        ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
        return self.lend(ours), self.lend(theirs)

    def view_channel(self) -> tuple[int, int]:
        """A session's end and its view process's, for packets in both directions; both sent to
        processes below.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A panorama under way keeps its memory, so few fit.
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
        return self.lend(ours), self.lend(theirs)

    def pair(self) -> tuple[int, int]:
        """Two ends for packets, both for processes below."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return self.lend(one), self.lend(other)

    def lend(self, end: socket.socket) -> int:
        """Takes over a socket that is sent to a process below."""
        self._lower.callback(end.close)
        return end.fileno()
