# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device's side: vgpud.

To prove the tests themselves they run against QEMU's own `vhost-user-gpu` and against the device in QEMU's own process too.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .process import Process, wait_until

C_PEER = Path("/usr/lib/qemu/vhost-user-gpu")
IN_QEMU = "in-process"
BACKENDS = ("vgpud", "c-peer", IN_QEMU)


def chosen_backend() -> str:
    """E2E_BACKEND: whom the tests run against."""
    return os.environ.get("E2E_BACKEND", "vgpud")


def vgpud_command() -> list[str]:
    """The vgpud installed for this interpreter, or else this tree's; E2E_COMMAND: another."""
    if command := os.environ.get("E2E_COMMAND"):
        return shlex.split(command)
    installed = Path(sys.executable).with_name("vgpud")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "vgpud"]


class Daemon:
    """A backend that listens on `socket_path`; `program` is a vgpud's command line, instead of the tests' own."""

    def __init__(
        self,
        socket_path: Path,
        backend: str = "",
        options: Sequence[str] = (),
        program: Sequence[str] = (),
    ) -> None:
        self.backend = backend or chosen_backend()
        self.socket_path = socket_path
        program = program or (vgpud_command() if self.backend == "vgpud" else [str(C_PEER)])
        self.process = Process(self.backend, [*program, f"--socket-path={socket_path}", *options])
        wait_until(self._listening_or_gone, f"{self.backend} to listen", 10)
        if self.process.exit_code is not None:
            self.process.kill()
            raise RuntimeError(f"{self.backend} did not start: {self.process.log.text()}")

    def _listening_or_gone(self) -> bool:
        return self.process.exit_code is not None or is_listening(self.socket_path)

    def device_processes(self) -> list[int]:
        """One for each front-end."""
        return self.process.named("vgpud-device")

    def session_processes(self) -> list[int]:
        """Likewise."""
        return self.process.named("vgpud-session")

    def terminate(self, timeout: float = 5) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def close(self) -> None:
        self.process.kill()
        self.socket_path.unlink(missing_ok=True)


def is_listening(path: Path) -> bool:
    """Whether somebody listens there.  Asks the kernel: to connect would already be a frontend."""
    accepting = 0x10000  # __SO_ACCEPTCON, in the fourth field
    fields = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(f[-1] == str(path) and int(f[3], 16) & accepting for f in fields if len(f) == 8)
