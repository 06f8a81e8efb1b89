# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How the guest's keyboard types what a viewer sends, as the daemon tells it to sessions.

Apart from the messages, since the daemon reads the layout before it listens, and imports the rest
afterwards.
"""

from typing import NamedTuple

SHIFT, ALTGR = 1, 2


class Stroke(NamedTuple):
    """A key, by QEMU's name for it (QKeyCode).  Of SHIFT and ALTGR, those in ``matters`` change
    what it types: those that are also in ``modifiers`` must be held, the others must not.
    ``capitals``: Caps Lock does to it what Shift does.
    """

    code: str
    modifiers: int
    matters: int
    capitals: bool


class Typed(NamedTuple):
    """How a keyboard types X11's ``keysym``: keys one after the other, of which the last may be
    held.
    """

    keysym: int
    strokes: tuple[Stroke, ...]
