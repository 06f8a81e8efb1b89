# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""An X server without a screen (Xvfb), whose pixels a test can look at."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

from .picture import Picture
from .process import Process

SIZE = "1600x1200"


class XServer:
    """Runs until `close`; `display` is what DISPLAY wants."""

    def __init__(self, folder: Path, size: str = SIZE) -> None:
        self._file = folder / "Xvfb_screen0"
        ours, theirs = os.pipe()
        self.process = Process(
            "Xvfb",
            [
                *("Xvfb", "-displayfd", str(theirs), "-screen", "0", f"{size}x24"),
                *("-fbdir", str(folder), "-nolisten", "tcp"),
            ],
            pass_fds=[theirs],
        )
        os.close(theirs)
        with os.fdopen(ours, encoding="ascii") as number:
            self.display = f":{number.readline().strip()}"
        if self.display == ":":
            self.process.kill()
            raise RuntimeError(f"Xvfb did not start: {self.process.log.text()}")

    def picture(self) -> Picture:
        """The whole screen: a file as xwd(1) writes it."""
        data = self._file.read_bytes()
        header = struct.unpack_from(">25I", data)
        width, height, bits, stride, colours = (header[field] for field in (4, 5, 11, 12, 19))
        if bits != 32:
            raise ValueError(f"{bits} bits a pixel")
        return Picture.from_xrgb(width, height, stride, data[header[0] + colours * 12 :])

    def close(self) -> None:
        self.process.kill()


def wait_for_part(server: XServer, part: Picture, timeout: float = 10) -> bool:
    """Whether the picture comes to stand somewhere on the screen, pixel for pixel."""
    end = time.monotonic() + timeout
    while not (found := is_part(server.picture(), part)) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def is_part(screen: Picture, part: Picture) -> bool:
    """Whether the smaller picture stands somewhere in the larger."""
    row = screen.width * 3
    first = part.pixels[: part.width * 3]
    for y in range(screen.height - part.height + 1):
        at = screen.pixels.find(first, y * row, (y + 1) * row)
        while at >= 0:
            x, remainder = divmod(at - y * row, 3)
            if not remainder and screen.crop(x, y, part.width, part.height) == part:
                return True
            at = screen.pixels.find(first, at + 1, (y + 1) * row)
    return False
