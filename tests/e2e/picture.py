# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a screen shows, as pixels that a test can look at."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

Pixel = tuple[int, int, int]


@dataclass(frozen=True)
class Picture:
    """Pixels of three bytes (red, green, blue), row after row."""

    width: int
    height: int
    pixels: bytes

    @classmethod
    def from_ppm(cls, data: bytes) -> Picture:
        """QEMU's screendump: binary PPM with 8 bits for each colour."""
        kind, width, height, depth, _ = data.split(maxsplit=4)
        if kind != b"P6" or depth != b"255":
            raise ValueError(f"not a PPM of 8 bits: {data[:20]!r}")
        # maxsplit swallows every white space behind the header, which the first pixels may be.
        size = int(width) * int(height) * 3
        return cls(int(width), int(height), data[len(data) - size :])

    @classmethod
    def from_xrgb(cls, width: int, height: int, stride: int, data: bytes) -> Picture:
        """x8r8g8b8 as it lies in memory: blue, green, red, anything."""
        pixels = bytearray(width * height * 3)
        rows = b"".join(data[y * stride : y * stride + width * 4] for y in range(height))
        pixels[0::3], pixels[1::3], pixels[2::3] = rows[2::4], rows[1::4], rows[0::4]
        return cls(width, height, bytes(pixels))

    def pixel(self, x: int, y: int) -> Pixel:
        at = (y * self.width + x) * 3
        return self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]

    def crop(self, x: int, y: int, width: int, height: int) -> Picture:
        start, row = x * 3, self.width * 3
        rows = (
            self.pixels[line * row + start : line * row + start + width * 3]
            for line in range(y, y + height)
        )
        return Picture(width, height, b"".join(rows))

    def colours(self) -> Counter[Pixel]:
        """How many pixels there are of each colour."""
        view = self.pixels
        return Counter(zip(view[0::3], view[1::3], view[2::3], strict=True))

    def difference(self, other: Picture) -> str:
        """Says where two pictures differ; nothing when they are equal."""
        if (self.width, self.height) != (other.width, other.height):
            return f"{self.width}x{self.height} against {other.width}x{other.height}"
        if self.pixels == other.pixels:
            return ""
        row = self.width * 3
        wrong = [
            y
            for y in range(self.height)
            if self.pixels[y * row : (y + 1) * row] != other.pixels[y * row : (y + 1) * row]
        ]
        y = wrong[0]
        x = next(x for x in range(self.width) if self.pixel(x, y) != other.pixel(x, y))
        return (
            f"{len(wrong)} of {self.height} rows differ, first at ({x}, {y}): "
            f"{self.pixel(x, y)} against {other.pixel(x, y)}"
        )

    def save_png(self, path: Path) -> None:
        row = self.width * 3
        rows = b"".join(b"\0" + self.pixels[y * row : (y + 1) * row] for y in range(self.height))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + _png_chunk(b"IHDR", header)
            + _png_chunk(b"IDAT", zlib.compress(rows, 1))
            + _png_chunk(b"IEND", b"")
        )


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
