# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Commands in the guest, over a virtio-serial port that the guest's init reads."""

from __future__ import annotations

import itertools
import socket
import time

READY = b"guest ready"


class GuestError(Exception):
    """A command in the guest failed."""


class GuestShell:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self._serials = itertools.count(1)

    def wait_ready(self, timeout: float = 60) -> None:
        """Until the guest has booted (again)."""
        self._read_to(READY + b"\n", timeout)

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
        line = f"{{ {command}\n}} </dev/null 2>&1; echo; echo '{self._end}'$?\n"
        self._socket.settimeout(10)
        self._socket.sendall(line.encode())

    def finish(self, timeout: float = 30, check: bool = True) -> str:
        output = self._read_to(b"\n" + self._end.encode(), timeout)
        status = int(self._read_to(b"\n", 5))
        text = output.decode(errors="replace").removesuffix("\n")
        if check and status != 0:
            raise GuestError(f"{self._command!r} exited with {status}: {text}")
        return text

    def _read_to(self, mark: bytes, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while mark not in self._buffer:
            remaining = deadline - time.monotonic()
            try:
                if remaining <= 0:
                    raise TimeoutError
                self._socket.settimeout(remaining)
                data = self._socket.recv(65536)
            except TimeoutError:
                tail = self._buffer[-500:].decode(errors="replace")
                raise TimeoutError(
                    f"the guest did not say {mark!r} within {timeout:g} s; it said: {tail!r}"
                ) from None
            if not data:
                raise ConnectionError("QEMU closed the guest's port")
            self._buffer += data
        before, self._buffer = self._buffer.split(mark, 1)
        return before
