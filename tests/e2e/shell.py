# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Commands in the guest, over a virtio-serial port that the guest's init reads."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable

LOOK_SECONDS = 0.5
READY = b"guest ready"


class GuestError(Exception):
    """A command in the guest failed."""


class GuestShell:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self._serials = itertools.count(1)

    def wait_ready(self, over: Callable[[], str]) -> None:
        """Until the guest has booted (again); TimeoutError once ``over`` says why it is waited for no longer."""
        self._read_to(READY + b"\n", over)

    def run(self, command: str, timeout: float = 30, check: bool = True) -> str:
        """What the command printed, both streams together.

        Raises GuestError when it exits with another status than 0 and `check` is true.
        """
        self.send(command)
        return self.finish(timeout, check)

    def send(self, command: str) -> None:
        """Starts a command without waiting for it; `finish` gives what it printed."""
        self._end = f"--end {next(self._serials)}-- "
        self._command = command
        line = f"{{ {command}\n}} </dev/null 2>&1; status=$?; echo; echo '{self._end}'$status\n"
        self._socket.settimeout(10)
        self._socket.sendall(line.encode())

    def finish(self, timeout: float = 30, check: bool = True) -> str:
        output = self._read_to(b"\n" + self._end.encode(), _clock(timeout))
        status = int(self._read_to(b"\n", _clock(5)))
        text = output.decode(errors="replace").removesuffix("\n")
        if check and status != 0:
            raise GuestError(f"{self._command!r} exited with {status}: {text}")
        return text

    def _read_to(self, mark: bytes, over: Callable[[], str]) -> bytes:
        self._socket.settimeout(LOOK_SECONDS)
        while mark not in self._buffer:
            if reason := over():
                tail = self._buffer[-500:].decode(errors="replace")
                raise TimeoutError(f"the guest did not say {mark!r}: {reason}; it said: {tail!r}")
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            if not data:
                raise ConnectionError("QEMU closed the guest's port")
            self._buffer += data
        before, self._buffer = self._buffer.split(mark, 1)
        return before


def _clock(seconds: float) -> Callable[[], str]:
    deadline = time.monotonic() + seconds
    return lambda: f"{seconds:g} s have passed" if time.monotonic() > deadline else ""
