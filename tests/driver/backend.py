# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Backends as processes: how each program is started, and a machine that is connected to one."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .closing import Closing
from .display import DisplayServer
from .frontend import Frontend
from .gpu import Guest
from .memory import GuestMemory, MiB

QEMU_PEER = Path("/usr/lib/qemu/vhost-user-gpu")

Arguments = Callable[[Path], Sequence[str | Path]]


def qemu_peer(socket_path: Path) -> list[str | Path]:
    """The command line of QEMU's own C backend (Debian's package qemu-system-gui)."""
    return [QEMU_PEER, "--socket-path", socket_path]


class Backend(Closing):
    """A backend that runs, listening at ``socket_path``; killed when the context ends.

    What it writes goes to ``log_path``, which is limited to 16 MiB: QEMU's C backend can log without end.
    """

    def __init__(self, arguments: Arguments, *, environment: dict[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="vgpud-test-")
        self.socket_path = Path(self._folder.name) / "vhost.sock"
        self.log_path = Path(self._folder.name) / "log"
        environment = None if environment is None else os.environ | environment
        with self.log_path.open("wb") as log:
            # (Not by RLIMIT_FSIZE, which holds for memfds as well.)
            self._log_writer = subprocess.Popen(
                ["stdbuf", "-o0", "head", "-c", str(16 * MiB)], stdin=subprocess.PIPE, stdout=log
            )
        assert self._log_writer.stdin is not None
        with self._log_writer.stdin as pipe:
            self.process = subprocess.Popen(
                arguments(self.socket_path),
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def close(self, timeout: float = 2.0) -> None:
        """SIGTERM, then SIGKILL for one that does not go."""
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout)
        self._log_writer.kill()
        self._log_writer.wait(timeout)
        self._folder.cleanup()


class Machine(Closing):
    """Guest, VMM and display, started against the backend that listens at ``socket_path``."""

    def __init__(
        self,
        socket_path: Path,
        *,
        memory: GuestMemory | None = None,
        outputs: Sequence[tuple[int, int]] = ((1280, 800),),
        headless: bool = False,
        guest: dict[str, Any] | None = None,
        frontend: dict[str, Any] | None = None,
    ) -> None:
        """``guest`` and ``frontend`` are keywords for Guest and Frontend.connect."""
        self.outputs = outputs
        with ExitStack() as failed:
            self.memory = memory or GuestMemory(64 * MiB)
            failed.callback(self.memory.close)
            self.guest = Guest(self.memory, **(guest or {}))
            failed.callback(self.guest.close)
            self.display = DisplayServer(outputs)
            failed.callback(lambda: self.display.close())
            self.frontend = Frontend.connect(socket_path, **(frontend or {}))
            failed.callback(self.frontend.close)
            theirs = None if headless else self.display.theirs
            self.frontend.start(self.memory, self.guest.queues, theirs)
            self._owned = failed.pop_all()

    def new_display(self) -> socket.socket:
        """QEMU gives a new socket at each DRIVER_OK and closes the old one at each stop."""
        self.display.close()
        self.display = DisplayServer(self.outputs)
        return self.display.theirs

    def stop(self) -> None:
        self.frontend.stop()
        self.display.close()

    def cont(self) -> None:
        self.frontend.cont(self.memory, self.guest.queues, self.new_display())

    def reboot(self) -> None:
        """Stop, reset, and a new driver on new rings."""
        self.stop()
        self.frontend.reset()
        self.guest.fresh_rings()
        self.frontend.driver_ok(self.memory, self.guest.queues, self.new_display())

    def close(self) -> None:
        self._owned.close()
