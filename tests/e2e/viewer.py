# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""TigerVNC's viewer in a window of an X server, and hands at its keyboard and mouse."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from .picture import Picture
from .process import Process
from .x_server import XServer

VIEWER, HANDS, CAPTURE = "xtigervncviewer", "xdotool", "gvnccapture"
SETS_LAYOUT = "setxkbmap"
PROGRAMS = (VIEWER, HANDS, CAPTURE, SETS_LAYOUT)
OPTIONS = (
    *("-SecurityTypes=None", "-RemoteResize=0", "-AlertOnFatalError=0"),
    # Nothing of the picture is lost.
    *("-AutoSelect=0", "-PreferredEncoding=ZRLE", "-NoJPEG=1", "-FullColor=1"),
)
# What says how to open the viewer's menu would lie over the picture: a key, or with others from 1.16 on.
OPENS_MENU = ("MenuKey", "ShortcutModifiers")


def missing() -> str:
    """Of the programs that tests with a viewer need."""
    return ", ".join(name for name in PROGRAMS if shutil.which(name) is None)


@functools.cache
def _without_menu() -> list[str]:
    said = subprocess.run([VIEWER, "--help"], capture_output=True, text=True, timeout=60)
    return [f"-{option}=" for option in OPENS_MENU if option in said.stdout + said.stderr]


def set_layout(server: XServer, layout: str) -> None:
    """Of the keyboard in front of viewers there."""
    environment = os.environ | {"DISPLAY": server.display}
    subprocess.run([SETS_LAYOUT, layout], env=environment, check=True, timeout=60)


class Viewer:
    """Looks at ``address`` until `close`."""

    def __init__(self, server: XServer, address: str) -> None:
        self._environment = {"DISPLAY": server.display}
        command = [VIEWER, *OPTIONS, *_without_menu(), address]
        self.process = Process("viewer", command, environment=self._environment)

    def close(self) -> None:
        self.process.kill()

    def _do(self, *arguments: str) -> None:
        environment = os.environ | self._environment
        subprocess.run([HANDS, *arguments], env=environment, check=True, timeout=60)

    def point(self, x: int, y: int) -> None:
        """Of the X server's screen."""
        self._do("mousemove", str(x), str(y))

    def take_keyboard(self) -> None:
        """As a window manager would give it to the viewer's window."""
        self._do("search", "--sync", "--name", "vgpud", "windowfocus", "--sync")

    def type(self, text: str) -> None:
        self._do("type", "--delay", "30", text)

    def press(self, *keys: str) -> None:
        """By X11's names of them."""
        self._do("key", *keys)

    def press_button(self, number: int) -> None:
        self._do("click", str(number))


def captured(address: str, file: Path) -> Picture:
    """What another viewer is shown."""
    from PIL import Image  # a package that only the tests have

    subprocess.run([CAPTURE, address, str(file)], check=True, timeout=60, capture_output=True)
    with Image.open(file) as image:
        return Picture(*image.size, image.convert("RGB").tobytes())
