# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest's program as a window of weston; only weston's own screenshot proves that it is shown."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ..daemon.running import COMMAND, show
from ..driver import rutabaga
from ..driver.backend import Backend
from ..driver.cross_domain import CrossDomainMachine
from ..driver.processes import wait_until
from .parts import HERE, made_by
from .wayland import Program

START = HERE / "weston" / "start"
WIDTH, HEIGHT = 320, 200
WESTON = (
    "weston", "--backend=headless-backend.so", "--shell=desktop-shell.so", "--use-pixman", "--idle-time=0",
    "--socket=wayland-0", f"--width={WIDTH}", f"--height={HEIGHT}",
    "--debug",  # without it no screenshot is taken
)  # fmt: skip
SHELL = """
[shell]
panel-position=none
startup-animation=none
animation=none
background-color=0xff000080
"""
ORANGE = bytes((0x20, 0x90, 0xF0, 0xFF))

pytestmark = pytest.mark.skipif(rutabaga.folder() is None, reason=rutabaga.NOT_BUILT)


class Weston:
    """Runs without a screen; ``socket`` is where it listens."""

    def __init__(self, folder: Path) -> None:
        made_by(HERE / "weston" / "build")
        self.folder = folder
        self.socket = folder / "wayland-0"
        configuration = folder / "weston.ini"
        configuration.write_text(SHELL)
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [START, folder, *WESTON, f"--config={configuration}"],
            stdout=self._log,
            stderr=self._log,
        )

    def picture(self) -> Image.Image:
        """What it shows."""
        for old in self.folder.glob("*.png"):
            old.unlink()
        subprocess.run(
            [START, self.folder, "weston-screenshooter"],
            check=True,
            timeout=20,
            capture_output=True,
        )
        [file] = self.folder.glob("*.png")
        with Image.open(file) as image:
            return image.convert("RGB")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()


@pytest.fixture
def weston() -> Iterator[Weston]:
    with tempfile.TemporaryDirectory(prefix="vgpud-", dir="/tmp") as folder:
        weston = Weston(Path(folder))
        try:
            assert wait_until(weston.socket.exists, 20), (weston.folder / "log").read_text()
            yield weston
        finally:
            weston.close()


def test_a_guest_s_program_is_a_window_of_the_host_s(weston: Weston) -> None:
    options = (
        "--gpu-mode",
        "gfxstream",
        "--capset",
        "cross-domain",
        "--wayland",
        str(weston.socket),
    )
    with (
        Backend(
            lambda path: [*COMMAND, "--socket-path", str(path), *options],
            environment={"LD_LIBRARY_PATH": str(rutabaga.folder())},
        ) as backend,
        CrossDomainMachine(backend.socket_path) as machine,
    ):
        window = [(WIDTH * HEIGHT, (0xF0, 0x90, 0x20))]
        assert weston.picture().getcolors() != window
        program = Program(machine)
        program.bind()
        program.show(WIDTH, HEIGHT, ORANGE)
        assert wait_until(lambda: weston.picture().getcolors() == window, 20)
        show(machine.connected)
        assert "not confined in full" not in backend.log
