# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How a keyboard with some layout types each character, from libxkbcommon: ``python -m
vgpud.cli.keyboard_layout de``. Run in a process of its own, so that no process that serves machines
has the library.  It prints JSON, or says on standard error why it cannot.
"""

import ctypes
import json
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

from vgpud.errors import EXIT_OK
from vgpud.tree.keyboard import ALTGR, SHIFT, Stroke, Typed
from vgpud.wire.keysyms import DEAD_KEYS, LATIN_1_MAX, UNICODE, Keysym

LIBRARY = "libxkbcommon.so.0"
# <xkbcommon/xkbcommon.h>
NO_ENVIRONMENT_NAMES = 1 << 1
LOG_LEVEL_CRITICAL = 10
KEY_UP, KEY_DOWN = 0, 1

# <linux/input-event-codes.h>, and what QEMU calls the keys (QKeyCode).
CAPS_LOCK, SHIFT_LEFT, ALT_RIGHT = 58, 42, 100
KEYS: dict[int, str] = {
    **{2 + place: name for place, name in enumerate("1234567890")},
    **{16 + place: name for place, name in enumerate("qwertyuiop")},
    **{30 + place: name for place, name in enumerate("asdfghjkl")},
    **{44 + place: name for place, name in enumerate("zxcvbnm")},
    12: "minus", 13: "equal", 26: "bracket_left", 27: "bracket_right", 39: "semicolon", 40: "apostrophe",
    41: "grave_accent", 43: "backslash", 51: "comma", 52: "dot", 53: "slash", 57: "spc", 86: "less", 89: "ro", 124: "yen",
}  # fmt: skip
EVDEV_OFFSET = 8  # X11's number of a key is this much larger

# The characters that a dead key and a space type on every guest; other dead keys differ between
# guests.
ALONE = "`^~"
SPACE = ord(" ")


class LayoutError(Exception):
    """There is no such layout, or no library that knows it; the text says which."""


class _Names(ctypes.Structure):
    """``struct xkb_rule_names``."""

    _fields_ = [
        (name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options")
    ]


def _open() -> Any:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise LayoutError(
            f"there is no {LIBRARY}, which knows keyboards (on Debian: apt install libxkbcommon0 "
            f"xkb-data)"
        ) from None
    for name in ("xkb_context_new", "xkb_keymap_new_from_names", "xkb_state_new"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("xkb_state_key_get_one_sym", "xkb_keysym_to_utf32", "xkb_utf32_to_keysym"):
        getattr(library, name).restype = ctypes.c_uint32
    return library


class Layout:
    """A layout by the name that setxkbmap(1) gives it: ``de``, or with a variant ``de(nodeadkeys)``."""

    def __init__(self, name: str) -> None:
        self._library = _open()
        context = ctypes.c_void_p(self._library.xkb_context_new(NO_ENVIRONMENT_NAMES))
        self._library.xkb_context_set_log_level(context, LOG_LEVEL_CRITICAL)
        layout, _, variant = name.rstrip(")").partition("(")
        names = _Names(b"evdev", b"pc105", layout.encode(), variant.encode(), b"")
        self._keymap = ctypes.c_void_p(
            self._library.xkb_keymap_new_from_names(context, ctypes.byref(names), 0)
        )
        if not self._keymap.value:
            raise LayoutError(
                f"there is no keyboard layout {name} (/usr/share/X11/xkb/rules/evdev.lst lists all "
                f"layouts)"
            )

    def typed(self) -> Iterator[Typed]:
        """Each character, and each dead key, with the fewest keys."""
        direct = dict(self._direct())
        for keysym, stroke in direct.items():
            for name in self._names(keysym):
                yield Typed(name, (stroke,))
        for keysym, strokes in self._composed(direct):
            for name in self._names(keysym):
                yield Typed(name, strokes)

    # --- what one key types

    def _direct(self) -> Iterator[tuple[int, Stroke]]:
        """Strokes with the fewest modifiers come last, and so win in a dictionary."""
        found = [
            (keysym, stroke)
            for code, name in KEYS.items()
            for keysym, stroke in self._key(code, name)
        ]
        return iter(sorted(found, key=lambda one: -one[1].modifiers))

    def _key(self, code: int, name: str) -> Iterator[tuple[int, Stroke]]:
        levels = {
            modifiers: self._keysym(code, self._pressed(modifiers))
            for modifiers in (0, SHIFT, ALTGR, SHIFT | ALTGR)
            if not modifiers & ALTGR or self._has_altgr
        }
        for modifiers, keysym in levels.items():
            if keysym:
                # Where Shift makes no difference it may be held or not.
                same = levels[modifiers ^ SHIFT] == keysym
                matters = SHIFT * (not same) | ALTGR * self._has_altgr
                capital = self._keysym(code, (*self._pressed(modifiers), CAPS_LOCK))
                swaps = not same and capital == levels[modifiers ^ SHIFT]
                yield keysym, Stroke(name, modifiers & matters, matters, swaps)

    def _pressed(self, modifiers: int) -> tuple[int, ...]:
        shift = (SHIFT_LEFT,) if modifiers & SHIFT else ()
        return (*shift, ALT_RIGHT) if modifiers & ALTGR else shift

    @property
    def _has_altgr(self) -> bool:
        return self._keysym(ALT_RIGHT, ()) == Keysym.ISO_LEVEL3_SHIFT

    def _keysym(self, code: int, pressed: tuple[int, ...]) -> int:
        """The keysym that a key types while others are held down, 0: none."""
        library = self._library
        state = ctypes.c_void_p(library.xkb_state_new(self._keymap))
        try:
            for held in pressed:
                library.xkb_state_update_key(state, held + EVDEV_OFFSET, KEY_DOWN)
            return int(library.xkb_state_key_get_one_sym(state, code + EVDEV_OFFSET))
        finally:
            library.xkb_state_unref(state)

    # --- what two keys type

    def _composed(self, direct: dict[int, Stroke]) -> Iterator[tuple[int, tuple[Stroke, ...]]]:
        """Characters that need a dead key, those with fewer accents first."""
        found: dict[int, tuple[Stroke, ...]] = {}
        for dead in DEAD_KEYS.keys() & direct.keys():
            for keysym, stroke in direct.items():
                character = self._accented(dead, keysym)
                if (
                    character
                    and (one := self._library.xkb_utf32_to_keysym(ord(character))) not in direct
                ):
                    found.setdefault(one, (direct[dead], stroke))
        yield from found.items()

    def _accented(self, dead: int, keysym: int) -> str:
        accent = DEAD_KEYS[dead]
        if keysym == SPACE:
            return accent.alone if accent.alone in ALONE else ""
        base = chr(self._library.xkb_keysym_to_utf32(keysym))
        whole = unicodedata.normalize("NFC", base + accent.combining) if base.isalpha() else ""
        return whole if len(whole) == 1 else ""

    # --- names

    def _names(self, keysym: int) -> set[int]:
        """All keysyms that a viewer may send for it."""
        character = self._library.xkb_keysym_to_utf32(keysym)
        if not character:
            return {keysym}
        others = {UNICODE | character} if character > LATIN_1_MAX else set()
        return {keysym, self._library.xkb_utf32_to_keysym(character)} | others


def main(name: str) -> int:
    """The process's exit status."""
    try:
        typed = list(Layout(name).typed())
    except LayoutError as error:
        sys.exit(str(error))
    json.dump(typed, sys.stdout, separators=(",", ":"))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
