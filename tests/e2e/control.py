# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""vgpuctl, and a machine's screen as the daemon has it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from .daemon import Daemon
from .machine import Machine
from .picture import Picture


def vgpuctl(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vgpud.ctl", "--socket-path", str(daemon.socket_path)]
    return subprocess.run(
        [*command, *arguments], check=False, timeout=20, capture_output=True, text=True
    )


def screenshot(daemon: Daemon, scanout: int, file: Path, *arguments: str) -> Picture | None:
    """What the daemon has on a scanout; None before there is anything."""
    command = ["screenshot", "--scanout", str(scanout), *arguments, str(file)]
    if vgpuctl(daemon, *command).returncode:
        return None
    with Image.open(file) as image:
        return Picture(*image.size, image.convert("RGB").tobytes())


class Screen:
    """The screen of a machine whose device QEMU knows nothing of; ``named`` where the daemon has others."""

    def __init__(self, machine: Machine, daemon: Daemon, named: str = "") -> None:
        self.guest, self.name, self.keep = machine.guest, machine.name, machine.keep
        self._daemon = daemon
        self._which = ["--machine", named] if named else []

    def screendump(self, head: int = 0) -> Picture:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            picture = screenshot(self._daemon, head, Path(file.name), *self._which)
        assert picture is not None
        return picture
