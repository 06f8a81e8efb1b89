# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The pairs of descriptors that links are, made by whoever is above."""

import fcntl
import os
import socket
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

PIPE_BYTES = 16 * 1024
BELL_BYTES = 4 * 1024
"""Of a pipe that carries single bytes.  Pipes are small, since the kernel counts their pages for each user."""

SENT_BYTES = 4 * 1024
"""Of what a device process has sent, that may wait to be read: each packet may carry 253 descriptors, which the kernel counts
for the user.
"""


class NewLinks:
    """Links under construction, in a ``with`` statement: lower ends, which somebody else is sent copies of, are
    closed at its end; upper ones, which the maker keeps, only when it ends with an error.
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
        """Both ends for packets that go down: nothing can be queued towards the upper one, whoever gets the
        lower.
        """
        upper, lower = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._upper.callback(upper.close)
        self._lower.callback(lower.close)
        upper.shutdown(socket.SHUT_RD)
        upper.setblocking(False)
        lower.setblocking(False)
        return upper, lower.fileno()

    def reports(self, size: int = PIPE_BYTES, keep: bool = False) -> tuple[int, int]:
        """The reading, upper end of a pipe and the writing one, which is to be kept as well or not.  Neither
        waits.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._upper.callback(os.close, reading)
        (self._upper if keep else self._lower).callback(os.close, writing)
        with suppress(PermissionError):
            # A user who has as many pages as the kernel wants him to have gets two, which may not grow: they do.
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size)
        return reading, writing

    def keep_nothing(self) -> None:
        """The upper ends are sent to somebody else as well."""
        self._keeps = False

    def link(self) -> tuple[int, int]:
        """A session's end and its device process's, both to be sent below."""
        ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
        return self.lend(ours), self.lend(theirs)

    def view_channel(self) -> tuple[int, int]:
        """A session's end and its view process's, for packets in both directions; both to be sent below."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A panorama that nobody takes keeps its memory: few are under way.
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
        return self.lend(ours), self.lend(theirs)

    def pair(self) -> tuple[int, int]:
        """Two ends for packets, both for processes below."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return self.lend(one), self.lend(other)

    def lend(self, end: socket.socket) -> int:
        """A socket that is sent below."""
        self._lower.callback(end.close)
        return end.fileno()
