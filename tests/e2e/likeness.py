# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether two renderers drew the same picture: they need not round alike."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from .picture import Picture

MEAN = 0.1
"""The mean of all differences of a colour, of 255; up to 0.04 was seen (jellyfish and terrain by Mesa 22.3 and 25.0)."""
FAR, PART = 8, 0.001
"""At most a thousandth of the pixels differs by more than 8 of 255 in some colour; up to 0.00001 was seen."""


class Deviation(NamedTuple):
    mean: float
    part: float

    @property
    def tolerable(self) -> bool:
        return self.mean <= MEAN and self.part <= PART


def deviation(one: Picture, other: Picture) -> Deviation:
    """Pictures of two sizes are as far apart as can be."""
    if (one.width, one.height) != (other.width, other.height):
        return Deviation(255, 1)
    pairs = Counter(zip(one.pixels, other.pixels, strict=True))
    total = sum(abs(a - b) * count for (a, b), count in pairs.items())
    far = {
        place // 3
        for place, (a, b) in enumerate(zip(one.pixels, other.pixels, strict=True))
        if abs(a - b) > FAR
    }
    return Deviation(total / len(one.pixels), len(far) / (one.width * one.height))


def upside_down(picture: Picture) -> Picture:
    row = picture.width * 3
    starts = range((picture.height - 1) * row, -1, -row)
    pixels = b"".join(picture.pixels[start : start + row] for start in starts)
    return Picture(picture.width, picture.height, pixels)


def with_red_and_blue_swapped(picture: Picture) -> Picture:
    pixels = bytearray(picture.pixels)
    pixels[0::3], pixels[2::3] = picture.pixels[2::3], picture.pixels[0::3]
    return Picture(picture.width, picture.height, bytes(pixels))
