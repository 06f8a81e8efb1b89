# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A scanout's picture, taken from the image that the session and the device process share."""

import sys
from pathlib import Path

from vgpud.control.protocol import ControlError, Fields
from vgpud.ctl import png
from vgpud.native import ffi, lib

PIXEL_BYTES = 4


def save(screen: Fields, descriptor: int, file: Path | None) -> None:
    """Writes the rectangle that ``screen`` describes, of the image behind ``descriptor``, as a PNG;
    to standard output if there is no file.
    """
    picture = png.encode(screen["width"], screen["height"], _rgb(screen, descriptor))
    if file is None:
        sys.stdout.buffer.write(picture)
        sys.stdout.buffer.flush()
    else:
        file.write_bytes(picture)


def _rgb(screen: Fields, descriptor: int) -> bytes:
    """The rectangle's pixels: red, green, blue."""
    width, height = screen["image_width"], screen["image_height"]
    mapped = lib.image_map(descriptor, width, height)
    if mapped == ffi.NULL:
        raise ControlError("what the session sent is not an image")
    try:
        pixels = ffi.buffer(lib.image_pixels(mapped, width, height), width * height * PIXEL_BYTES)
        line, left = width * PIXEL_BYTES, screen["x"] * PIXEL_BYTES
        right = left + screen["width"] * PIXEL_BYTES
        tops = range(screen["y"] * line, (screen["y"] + screen["height"]) * line, line)
        bgrx = b"".join(pixels[top + left : top + right] for top in tops)
    finally:
        lib.image_unmap(mapped, width, height)
    if len(bgrx) != screen["width"] * screen["height"] * PIXEL_BYTES:
        raise ControlError("the session's rectangle is not within its image")
    rgb = bytearray(len(bgrx) // PIXEL_BYTES * 3)
    rgb[0::3], rgb[1::3], rgb[2::3] = bgrx[2::4], bgrx[1::4], bgrx[0::4]
    return bytes(rgb)
