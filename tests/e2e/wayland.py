# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest's Wayland program, as small as one that has a window can be, over a cross-domain channel.

The messages are of Wayland's core protocol and of xdg-shell: the object, the length and the number of the request or event in
two words, then the arguments.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ..driver import rutabaga
from ..driver.cross_domain import IMAGE, OK, CrossDomainMachine
from ..driver.memory import PAGE

DISPLAY, REGISTRY, COMPOSITOR, SHM, SHELL = 1, 2, 3, 4, 5
SURFACE, XDG_SURFACE, TOPLEVEL, POOL, BUFFER = 6, 7, 8, 9, 10
NEEDED = {"wl_compositor": COMPOSITOR, "wl_shm": SHM, "xdg_wm_base": SHELL}
XRGB8888 = 1


@dataclass(frozen=True)
class Event:
    """``number`` is its place in the interface; ``arguments`` are as they came."""

    sender: int
    number: int
    arguments: bytes


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<I", len(data)) + data + b"\0" * (-len(data) % 4)


def _request(target: int, number: int, *arguments: int | bytes) -> bytes:
    words = (one if isinstance(one, bytes) else struct.pack("<I", one) for one in arguments)
    body = b"".join(words)
    return struct.pack("<IHH", target, number, 8 + len(body)) + body


def _is_global(interface: bytes, event: Event) -> bool:
    return event.sender == REGISTRY and event.arguments[4:].startswith(interface)


@dataclass
class Program:
    """Connected; ``events`` are those that came, from the first on."""

    machine: CrossDomainMachine
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.machine.connect() == OK

    def ask(self, *requests: bytes, resources: tuple[int, ...] = ()) -> None:
        assert self.machine.submit(rutabaga.send(b"".join(requests), resources)) == OK

    def wait_for(self, wanted: Callable[[Event], bool]) -> Event:
        """The first such event, once it has come."""
        while not (found := [event for event in self.events if wanted(event)]):
            self.machine.guest.wait(self.machine.poll())
            self._take(rutabaga.received(self.machine.channel.read(0, PAGE)).data)
        return found[0]

    def _take(self, data: bytes) -> None:
        while data:
            sender, number, length = struct.unpack_from("<IHH", data)
            assert (sender, number) != (DISPLAY, 0), f"the compositor is not content: {data!r}"
            self.events.append(Event(sender, number, data[8:length]))
            data = data[length:]

    # --- a window

    def bind(self) -> None:
        """Every global that a window needs."""
        self.ask(_request(DISPLAY, 1, REGISTRY))
        for interface, number in NEEDED.items():
            text = _text(interface)
            event = self.wait_for(partial(_is_global, text))
            self.ask(_request(REGISTRY, 0, event.arguments[:4], text, 1, number))

    def show(self, width: int, height: int, pixel: bytes) -> None:
        """A window of one colour: blue, green, red, anything."""
        self.ask(
            _request(COMPOSITOR, 0, SURFACE),
            _request(SHELL, 2, XDG_SURFACE, SURFACE),
            _request(XDG_SURFACE, 1, TOPLEVEL),
            _request(TOPLEVEL, 11, 0),  # as large as the screen is
            _request(SURFACE, 6),
        )
        configured = self.wait_for(lambda event: (event.sender, event.number) == (XDG_SURFACE, 0))
        image = self.machine.image(width, height)
        with mmap.mmap(self.machine.map(IMAGE), image.size) as pixels:
            pixels[: image.stride * height] = pixel * (image.stride * height // 4)
        self.ask(_request(SHM, 0, POOL, image.size), resources=(IMAGE,))
        self.ask(
            _request(POOL, 0, BUFFER, 0, width, height, image.stride, XRGB8888),
            _request(XDG_SURFACE, 4, configured.arguments),
            _request(SURFACE, 1, BUFFER, 0, 0),
            _request(SURFACE, 2, 0, 0, width, height),
            _request(SURFACE, 6),
        )
