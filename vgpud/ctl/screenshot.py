# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A scanout's picture, taken from the image that the daemon and the device process share."""

from pathlib import Path

from PIL import Image

from vgpud.control.protocol import ControlError, Fields
from vgpud.native import ffi, lib

PIXEL_BYTES = 4


def save(screen: Fields, descriptor: int, file: Path) -> None:
    """Writes the rectangle that ``screen`` describes, of the image behind ``descriptor``."""
    width, height = screen["image_width"], screen["image_height"]
    mapped = lib.image_map(descriptor, width, height)
    if mapped == ffi.NULL:
        raise ControlError("the image is not one")
    try:
        pixels = bytes(
            ffi.buffer(lib.image_pixels(mapped, width, height), width * height * PIXEL_BYTES)
        )
    finally:
        lib.image_unmap(mapped, width, height)
    whole = Image.frombytes("RGB", (width, height), pixels, "raw", "BGRX")
    x, y = screen["x"], screen["y"]
    whole.crop((x, y, x + screen["width"], y + screen["height"])).save(file, "PNG")
