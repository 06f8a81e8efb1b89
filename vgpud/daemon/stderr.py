# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Standard error, written without ever waiting: its reader may be a terminal, or a program, that
has been stopped, and no machine may stop for that.
"""

import os
import select
import stat
import sys
from contextlib import suppress

# A pipe with any room at all has room for this much.
PIPE_BUF = 4096


class Stderr:
    """Whoever started us has standard error too, so we do not set O_NONBLOCK on it: a pipe or a
    terminal is opened once more, and where that is not allowed poll(2) has to be enough.
    ``left_out`` counts the lines that could not be written since it was set to 0.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._own = _open_again()
        self._torn = False
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"

    @property
    def _descriptor(self) -> int:
        return 2 if self._own is None else self._own

    def close(self) -> None:
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def write_line(self, line: str) -> None:
        """Writes the whole line, or the part that fits, or nothing."""
        data = f"{line}\n".encode(self._encoding, "backslashreplace")
        if self._torn:
            data = b"\n" + data
        while data:
            written = self._write(data[:PIPE_BUF])
            if not written:
                self.left_out += 1
                return
            data = data[written:]
            self._torn = bool(data)

    def _write(self, data: bytes) -> int:
        """How many bytes were written; also 0 when nobody will ever read them."""
        with suppress(OSError):
            if any(events & select.POLLOUT for _, events in self._poll.poll(0)):
                return os.write(self._descriptor, data)
        return 0


def _open_again() -> int | None:
    """None for a socket or a file: for these poll(2) is enough, and a file opened again would have
    another position.
    """
    try:
        mode = os.fstat(2).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open("/proc/self/fd/2", flags)
    except OSError:
        return None
    return None
