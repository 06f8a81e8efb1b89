# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The demo's picture: hills at dusk, and a name in the sky."""

from __future__ import annotations

import math

Colour = tuple[float, float, float]

CELL = 2
"""Pixels of one colour, each way."""

SKY_HIGH: Colour = (24, 18, 62)
SKY_LOW: Colour = (255, 150, 92)
SUN: Colour = (255, 236, 170)
LETTER: Colour = (255, 250, 240)
# Far to near: colour, height of the crest, height of the waves, their length and where they begin.
HILLS: tuple[tuple[Colour, float, float, float, float], ...] = (
    ((150, 84, 116), 0.62, 0.050, 1.9, 0.4),
    ((104, 58, 104), 0.71, 0.060, 2.9, 2.1),
    ((62, 38, 84), 0.80, 0.055, 4.3, 4.0),
    ((28, 20, 52), 0.89, 0.045, 6.1, 1.2),
)
LETTERS = (
    "                            #",
    "                            #",
    "#   #  #### ####  #   #  ####",
    "#   # #   # #   # #   # #   #",
    " # #  #   # #   # #   # #   #",
    "  #    #### ####   ####  ####",
    "          # #",
    "       ###  #",
)


def drawing(width: int, height: int) -> bytes:
    """Rows of pixels of four bytes: blue, green, red, nothing."""
    rows = []
    letters = _letters(width, height)
    for y in range(0, height, CELL):
        row = b"".join(
            _pixel(_colour(x / width, y / height, width / height, (x, y) in letters)) * CELL
            for x in range(0, width, CELL)
        )
        rows += [row] * CELL
    return b"".join(rows[:height])


def _colour(x: float, y: float, aspect: float, letter: bool) -> Colour:
    for colour, crest, wave, frequency, phase in reversed(HILLS):
        line = crest + wave * (
            math.sin(x * frequency * math.pi + phase)
            + 0.4 * math.sin(x * frequency * 2.7 * math.pi)
        )
        if y > line:
            return _mix(colour, (255, 170, 120), max(0.0, 0.25 - (y - line) * 2))
    if letter:
        return LETTER
    sky = _mix(SKY_HIGH, SKY_LOW, min(1.0, y / 0.72))
    distance = math.hypot((x - 0.78) * aspect, y - 0.52)
    if distance < 0.13:
        return SUN
    return _mix(SUN, sky, min(1.0, (distance - 0.13) * 3.2))


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def _pixel(colour: Colour) -> bytes:
    red, green, blue = (round(part) for part in colour)
    return bytes((blue, green, red, 0))


def _letters(width: int, height: int) -> set[tuple[int, int]]:
    """The cells that are part of a letter."""
    block = max(CELL, height // 40 // CELL * CELL)
    left, top = width // 14 // CELL * CELL, height // 9 // CELL * CELL
    return {
        (left + column * block + x, top + row * block + y)
        for row, line in enumerate(LETTERS)
        for column, mark in enumerate(line)
        if mark == "#"
        for x in range(0, block - CELL, CELL)
        for y in range(0, block - CELL, CELL)
    }
