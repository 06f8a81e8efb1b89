# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""X11's keysyms of keys that are not characters (X Window System Protocol, appendix A); a
character's keysym is its Latin-1 code.
"""

from enum import IntEnum
from typing import NamedTuple

# The keysym of a Latin-1 character is its code; that of any other may be this plus its code.
UNICODE, LATIN_1_MAX = 0x01000000, 0xFF


class Keysym(IntEnum):
    ISO_LEVEL3_SHIFT = 0xFE03
    ISO_LEFT_TAB = 0xFE20
    BACKSPACE = 0xFF08
    TAB = 0xFF09
    RETURN = 0xFF0D
    PAUSE = 0xFF13
    SCROLL_LOCK = 0xFF14
    SYS_REQ = 0xFF15
    ESCAPE = 0xFF1B
    HOME = 0xFF50
    LEFT = 0xFF51
    UP = 0xFF52
    RIGHT = 0xFF53
    DOWN = 0xFF54
    PRIOR = 0xFF55
    NEXT = 0xFF56
    END = 0xFF57
    PRINT = 0xFF61
    INSERT = 0xFF63
    MENU = 0xFF67
    NUM_LOCK = 0xFF7F
    KP_ENTER = 0xFF8D
    KP_HOME = 0xFF95
    KP_LEFT = 0xFF96
    KP_UP = 0xFF97
    KP_RIGHT = 0xFF98
    KP_DOWN = 0xFF99
    KP_PRIOR = 0xFF9A
    KP_NEXT = 0xFF9B
    KP_END = 0xFF9C
    KP_BEGIN = 0xFF9D
    KP_INSERT = 0xFF9E
    KP_DELETE = 0xFF9F
    KP_MULTIPLY = 0xFFAA
    KP_ADD = 0xFFAB
    KP_SEPARATOR = 0xFFAC
    KP_SUBTRACT = 0xFFAD
    KP_DECIMAL = 0xFFAE
    KP_DIVIDE = 0xFFAF
    KP_0 = 0xFFB0
    KP_EQUAL = 0xFFBD
    F1 = 0xFFBE
    SHIFT_L = 0xFFE1
    SHIFT_R = 0xFFE2
    CONTROL_L = 0xFFE3
    CONTROL_R = 0xFFE4
    CAPS_LOCK = 0xFFE5
    META_L = 0xFFE7
    META_R = 0xFFE8
    ALT_L = 0xFFE9
    ALT_R = 0xFFEA
    SUPER_L = 0xFFEB
    SUPER_R = 0xFFEC
    DELETE = 0xFFFF


class Accent(NamedTuple):
    """What a dead key adds to the next character (Unicode), and what it is before a space."""

    combining: str
    alone: str


DEAD_KEYS = {
    0xFE50: Accent("\u0300", "`"),
    0xFE51: Accent("\u0301", "'"),
    0xFE52: Accent("\u0302", "^"),
    0xFE53: Accent("\u0303", "~"),
    0xFE54: Accent("\u0304", "\u00af"),
    0xFE55: Accent("\u0306", "\u02d8"),
    0xFE56: Accent("\u0307", "\u02d9"),
    0xFE57: Accent("\u0308", '"'),
    0xFE58: Accent("\u030a", "\u00b0"),
    0xFE59: Accent("\u030b", "\u02dd"),
    0xFE5A: Accent("\u030c", "\u02c7"),
    0xFE5B: Accent("\u0327", "\u00b8"),
    0xFE5C: Accent("\u0328", "\u02db"),
}
"""dead_grave to dead_ogonek."""
