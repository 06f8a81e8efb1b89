# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A viewer as the RFB protocol (RFC 6143) has it, as far as tests need one: raw pixels, sizes, cursors."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

from .closing import Closing

VERSION = b"RFB 003.008\n"
SECURITY_NONE = 1
RAW, CURSOR, DESKTOP_SIZE = 0, -239, -223
SET_PIXEL_FORMAT, SET_ENCODINGS, UPDATE_REQUEST, KEY_EVENT, POINTER_EVENT = 0, 2, 3, 4, 5
FRAMEBUFFER_UPDATE, SET_COLOUR_MAP, BELL, CUT_TEXT = range(4)
# 32 bits, of which 24 count, little endian, true colour; red in the third byte.
PIXEL_FORMAT = struct.Struct(">BB??HHHBBB3x")
BGRX = (32, 24, False, True, 255, 255, 255, 16, 8, 0)
PIXEL = 4
RECTANGLE = struct.Struct(">HHHHi")


class Cursor(NamedTuple):
    """``pixels`` are B, G, R and one byte without meaning, ``mask`` rows of bits."""

    hot: tuple[int, int]
    size: tuple[int, int]
    pixels: bytes
    mask: bytes


class Viewer(Closing):
    """Connected, and told the size of the screen; it has asked for nothing yet.

    ``offered`` are pixels as the server has them; it is asked for BGRX.
    """

    def __init__(self, end: socket.socket, encodings: Sequence[int] = (RAW, CURSOR, DESKTOP_SIZE)):
        self.end = end
        self.cursor: Cursor | None = None
        self.updates = 0
        end.settimeout(10)
        assert self._read(len(VERSION)) == VERSION
        end.sendall(VERSION)
        (count,) = self._read(1)
        assert SECURITY_NONE in self._read(count)
        end.sendall(bytes([SECURITY_NONE]))
        assert self._read(4) == bytes(4)
        end.sendall(b"\x01")  # shared: others may connect too
        width, height, offered, name = struct.unpack(">HH16sI", self._read(24))
        self.offered = PIXEL_FORMAT.unpack(offered)
        self.name = self._read(name).decode()
        self._resize(width, height)
        end.sendall(bytes([SET_PIXEL_FORMAT]) + bytes(3) + PIXEL_FORMAT.pack(*BGRX))
        packed = struct.pack(f">{len(encodings)}i", *encodings)
        end.sendall(struct.pack(">BxH", SET_ENCODINGS, len(encodings)) + packed)

    @classmethod
    def at(
        cls,
        path: Path,
        encodings: Sequence[int] = (RAW, CURSOR, DESKTOP_SIZE),
        *,
        seconds: float = 10,
    ) -> Self:
        """Connects to a Unix socket, which may be about to appear."""
        until = time.monotonic() + seconds
        with ExitStack() as unless_served:
            end = unless_served.enter_context(socket.socket(socket.AF_UNIX))
            while end.connect_ex(str(path)):
                assert time.monotonic() < until, f"nobody listens at {path}"
                time.sleep(0.01)
            viewer = cls(end, encodings)
            unless_served.pop_all()
        return viewer

    def close(self) -> None:
        self.end.close()

    def _read(self, count: int) -> bytes:
        data = bytearray(count)
        rest = memoryview(data)
        while rest:
            received = self.end.recv_into(rest)
            if not received:
                raise ConnectionResetError("the viewer is not served any more")
            rest = rest[received:]
        return bytes(data)

    def _resize(self, width: int, height: int) -> None:
        self.size = width, height
        self._pixels = bytearray(width * height * PIXEL)

    # --- what is seen

    def request(self, incremental: bool = True) -> None:
        """Asks for what has changed, or for everything."""
        self.end.sendall(struct.pack(">BBHHHH", UPDATE_REQUEST, incremental, 0, 0, *self.size))

    def update(self) -> None:
        """Takes one update."""
        while (kind := self._read(1)[0]) != FRAMEBUFFER_UPDATE:
            self._skip(kind)
        _, count = struct.unpack(">BH", self._read(3))
        for _ in range(count):
            self._rectangle(*RECTANGLE.unpack(self._read(RECTANGLE.size)))
        self.updates += 1

    def _skip(self, kind: int) -> None:
        if kind == CUT_TEXT:
            self._read(struct.unpack(">3xI", self._read(7))[0])
        elif kind == SET_COLOUR_MAP:
            self._read(6 * struct.unpack(">xHH", self._read(5))[1])
        else:
            assert kind == BELL, kind

    def _rectangle(self, x: int, y: int, width: int, height: int, encoding: int) -> None:
        if encoding == DESKTOP_SIZE:
            self._resize(width, height)
        elif encoding == CURSOR:
            pixels = self._read(width * height * PIXEL)
            mask = self._read((width + 7) // 8 * height)
            self.cursor = Cursor((x, y), (width, height), pixels, mask)
        else:
            assert encoding == RAW, encoding
            self._draw(x, y, width, self._read(width * height * PIXEL))

    def _draw(self, x: int, y: int, width: int, pixels: bytes) -> None:
        row = width * PIXEL
        for index in range(0, len(pixels), row):
            place = ((y + index // row) * self.size[0] + x) * PIXEL
            self._pixels[place : place + row] = pixels[index : index + row]

    def area(self, x: int, y: int, width: int, height: int) -> bytes:
        """Its pixels, B, G, R, and 255 for the byte that means nothing."""
        rows = (
            self._pixels[place : place + width * PIXEL]
            for place in ((y + row) * self.size[0] * PIXEL + x * PIXEL for row in range(height))
        )
        return opaque(b"".join(rows))

    def until(self, seen: Callable[[], bool], seconds: float = 10) -> bool:
        """Asks and takes updates until that is seen; whether it was."""
        end = time.monotonic() + seconds
        whole = True
        while not seen():
            self.end.settimeout(max(end - time.monotonic(), 0.001))
            try:
                self.request(incremental=not whole)
                self.update()
            except TimeoutError:
                return False
            whole = False
        return True

    def until_picture(self, pixels: bytes, width: int, x: int = 0, seconds: float = 10) -> bool:
        """Likewise, until rows of that width from ``x`` are these pixels."""
        height = len(pixels) // width // PIXEL

        def seen() -> bool:
            fits = self.size[0] >= x + width and self.size[1] >= height
            return fits and self.area(x, 0, width, height) == opaque(pixels)

        return self.until(seen, seconds)

    def is_dropped(self, seconds: float = 10) -> bool:
        """Whether the other end closes."""
        self.end.settimeout(seconds)
        try:
            while self.end.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    # --- what is done

    def key(self, keysym: int, down: bool) -> None:
        self.end.sendall(struct.pack(">BBxxI", KEY_EVENT, down, keysym))

    def pointer(self, x: int, y: int, buttons: int = 0) -> None:
        self.end.sendall(struct.pack(">BBHH", POINTER_EVENT, buttons, x, y))


def opaque(pixels: bytes) -> bytes:
    """With 255 in each fourth byte."""
    found = bytearray(pixels)
    found[3::4] = b"\xff" * (len(found) // 4)
    return bytes(found)
