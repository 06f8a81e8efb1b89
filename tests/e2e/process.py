# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Processes that cannot outlive a test, nor fill the disk with what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from ..daemon.running import named

LOG_HEAD = 256 * 1024
LOG_TAIL = 64 * 1024


class Stream(Protocol):
    """An open file."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Log:
    """The beginning and the end of a stream; the middle of a flood is dropped.

    A QEMU whose device's backend has died writes a million lines a minute.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._stream.fileno(), 65536):
            room = LOG_HEAD - len(self._head)
            self._head += data[:room]
            self._tail += data[room:] if room > 0 else data
            excess = len(self._tail) - LOG_TAIL
            if excess > 0:
                del self._tail[:excess]
                self._dropped += excess

    def finish(self) -> None:
        """Waits for the stream's end; who writes it must have ended before."""
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self._stream.close()

    def text(self) -> str:
        middle = f"\n[… {self._dropped} bytes …]\n".encode() if self._dropped else b""
        return (bytes(self._head) + middle + bytes(self._tail)).decode(errors="replace")


class Process:
    """A child in a session of its own, killed with all its children at the end."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        # When the test runner itself is killed, the kernel ends the child (PR_SET_PDEATHSIG).
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.log = Log(self._process.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        return self._process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL to it and to every process that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(10)
        self.log.finish()

    def named(self, name: str) -> list[int]:
        """The processes below it that are called so."""
        return named(self.pid, name)


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 10) -> None:
    """Asks again and again; raises TimeoutError with `what` when it stays false."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)
