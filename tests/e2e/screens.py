# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the guest is asked to show, and what its screen must then look like."""

from __future__ import annotations

import re
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from .machine import Machine
from .picture import Picture
from .process import wait_until
from .shell import GuestShell

PATTERNS = ("smpte", "tiles", "plain", "gradient")
CELL_WIDTH, CELL_HEIGHT = 8, 16  # of the kernel's font
BLACK, GREY = (0, 0, 0), (170, 170, 170)

Mode = tuple[int, int]


class HasScreen(Protocol):
    """A machine, whoever started it."""

    name: str
    guest: GuestShell

    def screendump(self, head: int = 0) -> Picture: ...
    def keep(self, picture: Picture, what: str) -> None: ...


def connectors(machine: Machine) -> list[int]:
    """The numbers of the guest's connectors, in the order of the outputs."""
    listing = machine.guest.run("modetest -M virtio_gpu -c")
    return [
        int(number) for number in re.findall(r"^(\d+)\t\d+\t\w*connected", listing, re.MULTILINE)
    ]


def preferred_modes(machine: Machine) -> dict[str, Mode]:
    """For each connector's name the mode that the guest would choose: its kernel asks the device for it now."""
    listing = machine.guest.run("modetest -M virtio_gpu -c")
    found = re.findall(r"\tconnected\t(\S+).*\n.*\n.*\n +#0 (\d+)x(\d+) ", listing)
    return {name: (int(width), int(height)) for name, width, height in found}


def wait_for_mode(machine: Machine, connector: str, mode: Mode) -> None:
    """Until the guest prefers that mode there."""
    wait_until(lambda: preferred_modes(machine).get(connector) == mode, f"{mode} on {connector}")


def modetest_arguments(modes: dict[int, Mode], pattern: str) -> str:
    """A mode for each connector; one framebuffer holds all of them side by side."""
    settings = " ".join(f"-s {c}:{width}x{height}" for c, (width, height) in modes.items())
    return f"-M virtio_gpu {settings} -F {pattern}"


def cursor_arguments(machine: Machine) -> str:
    """modetest moves a cursor about on a screen of 1024x768."""
    return f"-M virtio_gpu -C -s {connectors(machine)[0]}:1024x768"


@contextmanager
def shown(machine: Machine, arguments: str) -> Iterator[None]:
    """modetest shows something in the guest for as long as the block lasts.

    It ends when its standard input does, hence the pipe.
    """
    machine.guest.run(f"sleep 600 | modetest {arguments} >/tmp/modetest.log 2>&1 &")
    try:
        yield
    finally:
        machine.guest.run("killall sleep; while pidof modetest; do sleep 0.1; done", check=False)


def modetest_log(machine: Machine) -> str:
    return machine.guest.run("cat /tmp/modetest.log")


def reference(machine: Machine, mode: Mode, pattern: str) -> Picture:
    """The pattern as QEMU's own device shows it; drawn once."""
    cache: dict[tuple[Mode, str], Picture] = machine.notes
    if (mode, pattern) not in cache:
        before = machine.screendump()
        with shown(machine, modetest_arguments({connectors(machine)[0]: mode}, pattern)):
            cache[mode, pattern] = steady(machine, mode, before=before)
    return cache[mode, pattern]


def steady(machine: Machine, mode: Mode, head: int = 0, before: Picture | None = None) -> Picture:
    """The first picture of that size, other than before, that does not change any more."""
    last = machine.wait_picture(
        lambda picture: (picture.width, picture.height) == mode and picture != before,
        f"a pattern of {mode}",
        head,
    )
    while True:
        time.sleep(0.2)
        picture = machine.screendump(head)
        if picture == last:
            return picture
        last = picture


def assert_shows(machine: Machine, expected: Picture, head: int = 0, timeout: float = 10) -> None:
    """Until the screen is exactly the picture expected."""
    deadline = time.monotonic() + timeout
    while difference := machine.screendump(head).difference(expected):
        if time.monotonic() > deadline:
            machine.keep(expected, "expected")
            machine.keep(machine.screendump(head), "shown")
            raise AssertionError(f"screen {head} of {machine.name}: {difference}")
        time.sleep(0.05)


def write_text(machine: HasScreen, title: str) -> None:
    """A cleared console with every printable character of ASCII, and a line of one's own."""
    alphabet = string.digits + string.ascii_letters + string.punctuation
    lines = [title, *(alphabet[start:] + alphabet[:start] for start in range(0, 90, 10))]
    text = "\\n".join(line.replace("\\", "\\0134").replace("'", "\\047") for line in lines)
    machine.guest.run(f"printf '%b' '\\033c{text}\\n' >/dev/tty1")


def assert_console_is_readable(machine: HasScreen, timeout: float = 10) -> Picture:
    """Compares the screen with the text that the guest's kernel says is on it (/dev/vcs1).

    No font is needed: each character must look the same wherever it stands, and unlike every other.
    """
    deadline = time.monotonic() + timeout
    while mistake := _reading_mistake(picture := machine.screendump(), console_text(machine)):
        if time.monotonic() > deadline:
            machine.keep(picture, "unreadable")
            raise AssertionError(f"the console of {machine.name} is not readable: {mistake}")
        time.sleep(0.1)
    return picture


def console_text(machine: HasScreen) -> list[str]:
    """The rows of characters that the guest's kernel has on its first console."""
    columns = int(machine.guest.run("stty -F /dev/tty1 size").split()[1])
    # Places in the kernel's font, which has the characters of that code page.
    places = bytes.fromhex(machine.guest.run("xxd -p /dev/vcs1").replace("\n", ""))
    text = places.decode("cp437")
    return [text[start : start + columns] for start in range(0, len(text), columns)]


def _reading_mistake(picture: Picture, rows: list[str]) -> str:
    size = (picture.width // CELL_WIDTH, picture.height // CELL_HEIGHT)
    if (len(rows[0]), len(rows)) != size:
        return f"{picture.width}x{picture.height} pixels for {len(rows[0])}x{len(rows)} characters"
    if set(picture.colours()) != {BLACK, GREY}:
        return f"the colours are {picture.colours().most_common(5)}"
    glyphs: dict[str, Picture] = {}
    for y, row in enumerate(rows):
        line = picture.crop(0, y * CELL_HEIGHT, picture.width, CELL_HEIGHT)
        for x, character in enumerate(row):
            glyph = line.crop(x * CELL_WIDTH, 0, CELL_WIDTH, CELL_HEIGHT)
            if glyphs.setdefault(character, glyph) != glyph:
                return f"{character!r} in row {y}, column {x} looks unlike the one before"
    if len(set(glyphs.values())) < len(glyphs):
        return "two characters look alike"
    if len(glyphs) < 50:
        return f"only {len(glyphs)} different characters are on it"
    return ""
