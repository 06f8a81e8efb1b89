# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A cursor as a viewer gets told of it, in the order it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class CursorPicture:
    """Rows of pixels of four bytes: blue, green, red, alpha."""

    width: int
    height: int
    hot_x: int
    hot_y: int
    pixels: bytes


class Cursor:
    """Written by the thread that hears of it, read by a test."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.picture: CursorPicture | None = None
        self.positions: list[tuple[int, int]] = []
        self.visible = False

    def draw(self, width: int, height: int, hot_x: int, hot_y: int, pixels: bytes) -> None:
        with self._changed:
            self.picture = CursorPicture(width, height, hot_x, hot_y, bytes(pixels))
            self._changed.notify_all()

    def move(self, x: int, y: int, visible: int) -> None:
        with self._changed:
            self.positions.append((x, y))
            self.visible = bool(visible)
            self._changed.notify_all()

    def wait(self, condition: Callable[[Cursor], bool], what: str, timeout: float = 10) -> None:
        """Until the condition holds; it is looked at after each change."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise AssertionError(f"within {timeout:g} s the cursor never {what}")
