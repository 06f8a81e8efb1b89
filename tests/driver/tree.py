# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The daemon with everything that it starts: found wherever it goes, asked, started again, ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .backend import Backend
from .memory import MiB
from .processes import alive, marked, wait_until

COMMAND = (sys.executable, "-m", "vgpud")
MARK = "PYTHON_VGPUD_TEST"
STATUS_SECONDS = 2.0
END_SECONDS = 1.0
# What may be lost between two processes of a busy machine, on top of what is promised.
TOLERANCE_SECONDS = 0.5

Fields = dict[str, Any]


class NoAnswerError(Exception):
    """The control socket does not answer in time."""


class Tree(Backend):
    """A daemon that listens soon.  Each of its processes has ``mark`` in its environment, under a name
    that a daemon passes on to whatever it starts.
    """

    def __init__(
        self, *options: str, environment: dict[str, str] | None = None, wrapper: Sequence[str] = ()
    ) -> None:
        """``wrapper``: a program and its arguments that starts the daemon, such as prlimit."""
        self.mark = uuid.uuid4().hex
        self._environment = {**(environment or {}), MARK: self.mark}
        self._command = [*wrapper, *COMMAND, *options]
        self._log_writers: list[subprocess.Popen[bytes]] = []
        super().__init__(self._arguments, environment=self._environment)

    def _arguments(self, socket_path: Path) -> list[str]:
        return [*self._command, "--socket-path", str(socket_path)]

    # --- looking

    @property
    def daemon(self) -> int:
        return self.process.pid

    def processes(self) -> set[int]:
        """All that live."""
        return marked(self.mark)

    def ask(self, command: str, timeout: float = STATUS_SECONDS, **arguments: object) -> Fields:
        """What the control socket answers; ``NoAnswerError`` when nothing comes in time."""
        line = json.dumps({"version": 1, "command": command, **arguments}).encode() + b"\n"
        path = f"{self.socket_path}.control"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            try:
                connection.connect(path)
                connection.sendall(line)
                answer = connection.makefile("rb").readline()
            except OSError as error:
                raise NoAnswerError(f"{command}: {error}") from error
        if not answer:
            raise NoAnswerError(f"{command}: the daemon has hung up")
        fields: Fields = json.loads(answer)
        return fields

    def status(self, timeout: float = STATUS_SECONDS) -> Fields:
        result: Fields = self.ask("status", timeout)["result"]
        return result

    def machines(self, timeout: float = STATUS_SECONDS) -> dict[str, Fields]:
        """What status says of each, by its name."""
        return {machine["name"]: machine for machine in self.status(timeout)["machines"]}

    def listens(self, timeout: float = 10.0) -> bool:
        """Whether it answers, within so many seconds from now."""

        def answers() -> bool:
            with suppress(NoAnswerError):
                return bool(self.status())
            return False

        return wait_until(answers, timeout)

    # --- ending

    def terminate(self) -> float:
        """SIGTERM to the daemon; the seconds until the last of its tree had gone, or infinity."""
        started = time.monotonic()
        tree = self.processes()
        self.process.terminate()
        limit = END_SECONDS + TOLERANCE_SECONDS
        gone = wait_until(lambda: not self._left(tree), limit)
        return time.monotonic() - started if gone else float("inf")

    def _left(self, tree: set[int]) -> bool:
        self.process.poll()  # reaps it
        if any(alive(one) for one in tree):
            return True
        return bool(self.processes())

    def kill_daemon(self) -> None:
        """SIGKILL to the daemon alone."""
        self.process.kill()
        self.process.wait(5)

    def start_again(self) -> None:
        """Another daemon on the same socket; the one before has to be gone."""
        with self.log_path.open("ab") as log:
            writer = subprocess.Popen(
                ["stdbuf", "-o0", "head", "-c", str(16 * MiB)], stdin=subprocess.PIPE, stdout=log
            )
        self._log_writers.append(writer)
        pipe = writer.stdin
        assert pipe is not None
        with pipe:
            self.process = subprocess.Popen(
                self._arguments(self.socket_path),
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=subprocess.STDOUT,
                env=os.environ | self._environment,
            )

    def close(self, timeout: float = 2.0) -> None:
        """Whatever is still there is killed.  (What hangs in the kernel goes when that lets it go.)"""
        for process_id in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGCONT)
                os.kill(process_id, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)
        for writer in self._log_writers:
            writer.kill()
            writer.wait(timeout)
        with suppress(subprocess.TimeoutExpired):
            super().close(timeout)
