# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a viewer types, as keys of the guest's keyboard: X11's keysyms to QEMU's key codes (QKeyCode).

A viewer says which character is wanted, whatever its own keyboard looks like.  On the guest's
keyboard that character may need Shift or AltGr where the viewer's does not, or the other way round.
These are then pressed, or released, for that one key.  A character that needs a dead key first is
two keys.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from vgpud.tree.keyboard import ALTGR, SHIFT, Stroke, Typed
from vgpud.wire.keysyms import DEAD_KEYS, LATIN_1_MAX, UNICODE, Keysym

SHIFTS = {Keysym.SHIFT_L: "shift", Keysym.SHIFT_R: "shift_r"}
LEVEL3 = {Keysym.ISO_LEVEL3_SHIFT: "alt_r"}
MODIFIERS = {SHIFT: SHIFTS, ALTGR: LEVEL3}
# What viewers on Windows hold down for AltGr.
CONTROLS = {Keysym.CONTROL_L: "ctrl", Keysym.CONTROL_R: "ctrl_r"}
ALTS = {Keysym.ALT_L: "alt", Keysym.ALT_R: "alt"}
FOR_ALTGR = (CONTROLS, ALTS)


class Press(NamedTuple):
    """A key that goes down or up."""

    code: str
    down: bool


_PLAIN = {
    "-": "minus", "=": "equal", "[": "bracket_left", "]": "bracket_right", "\\": "backslash", ";": "semicolon",
    "'": "apostrophe", "`": "grave_accent", ",": "comma", ".": "dot", "/": "slash",
}  # fmt: skip
_SHIFTED = {
    "!": "1", "@": "2", "#": "3", "$": "4", "%": "5", "^": "6", "&": "7", "*": "8", "(": "9", ")": "0", "_": "minus",
    "+": "equal", "{": "bracket_left", "}": "bracket_right", "|": "backslash", ":": "semicolon", '"': "apostrophe",
    "~": "grave_accent", "<": "comma", ">": "dot", "?": "slash",
}  # fmt: skip
_OTHERS = {
    Keysym.BACKSPACE: "backspace", Keysym.TAB: "tab", Keysym.ISO_LEFT_TAB: "tab", Keysym.RETURN: "ret",
    Keysym.PAUSE: "pause", Keysym.SCROLL_LOCK: "scroll_lock", Keysym.SYS_REQ: "sysrq", Keysym.ESCAPE: "esc",
    Keysym.HOME: "home", Keysym.LEFT: "left", Keysym.UP: "up", Keysym.RIGHT: "right", Keysym.DOWN: "down",
    Keysym.PRIOR: "pgup", Keysym.NEXT: "pgdn", Keysym.END: "end", Keysym.PRINT: "print", Keysym.INSERT: "insert",
    Keysym.MENU: "menu", Keysym.NUM_LOCK: "num_lock", Keysym.DELETE: "delete", Keysym.CAPS_LOCK: "caps_lock",
    Keysym.CONTROL_L: "ctrl", Keysym.CONTROL_R: "ctrl_r", Keysym.META_L: "meta_l", Keysym.META_R: "meta_r",
    Keysym.ALT_L: "alt", Keysym.ALT_R: "alt_r", Keysym.SUPER_L: "meta_l", Keysym.SUPER_R: "meta_r",
    Keysym.KP_ENTER: "kp_enter", Keysym.KP_HOME: "kp_7", Keysym.KP_LEFT: "kp_4", Keysym.KP_UP: "kp_8",
    Keysym.KP_RIGHT: "kp_6", Keysym.KP_DOWN: "kp_2", Keysym.KP_PRIOR: "kp_9", Keysym.KP_NEXT: "kp_3",
    Keysym.KP_END: "kp_1", Keysym.KP_BEGIN: "kp_5", Keysym.KP_INSERT: "kp_0", Keysym.KP_DELETE: "kp_decimal",
    Keysym.KP_MULTIPLY: "kp_multiply", Keysym.KP_ADD: "kp_add", Keysym.KP_SEPARATOR: "kp_decimal",
    Keysym.KP_SUBTRACT: "kp_subtract", Keysym.KP_DECIMAL: "kp_decimal", Keysym.KP_DIVIDE: "kp_divide",
    Keysym.KP_EQUAL: "kp_equals",
}  # fmt: skip


def _usa() -> Iterator[tuple[int, Stroke]]:
    for letter in "abcdefghijklmnopqrstuvwxyz":
        yield ord(letter), Stroke(letter, 0, SHIFT, True)
        yield ord(letter.upper()), Stroke(letter, SHIFT, SHIFT, True)
    for digit in "0123456789":
        yield ord(digit), Stroke(digit, 0, SHIFT, False)
    for character, code in _PLAIN.items():
        yield ord(character), Stroke(code, 0, SHIFT, False)
    for character, code in _SHIFTED.items():
        yield ord(character), Stroke(code, SHIFT, SHIFT, False)
    yield ord(" "), Stroke("spc", 0, 0, False)


def _others() -> Iterator[tuple[int, str]]:
    yield from _OTHERS.items()
    yield from SHIFTS.items()
    yield from ((Keysym.F1 + index, f"f{index + 1}") for index in range(12))
    yield from ((Keysym.KP_0 + index, f"kp_{index}") for index in range(10))


Strokes = dict[int, tuple[Stroke, ...]]
USA: Strokes = {keysym: (stroke,) for keysym, stroke in _usa()}
OTHERS: Strokes = {keysym: (Stroke(code, 0, 0, False),) for keysym, code in _others()}


def strokes_of(layout: Iterable[Typed]) -> Strokes:
    """How each keysym is typed on that keyboard; if it is empty, with the US layout."""
    found = {one.keysym: one.strokes for one in layout}
    if not found:
        return USA | OTHERS
    if not any(stroke.matters & ALTGR for strokes in found.values() for stroke in strokes):
        return found | OTHERS
    # Its right Alt is AltGr, and not Alt.
    own = LEVEL3 | ALTS
    return found | OTHERS | {keysym: (Stroke(code, 0, 0, False),) for keysym, code in own.items()}


class Keyboard:
    """One viewer's keyboard: the keys that it holds down, and its locks."""

    def __init__(self, strokes: Strokes) -> None:
        self._strokes = strokes
        # By the keysym that went down: if Shift was released meanwhile, the viewer sends another
        # keysym when the key goes up.
        self._held: dict[int, str] = {}
        self._capitals = False
        self._accent = 0

    def press(self, keysym: int, down: bool) -> list[Press]:
        """The keys of the guest's keyboard for it, in order; none for a character without a key."""
        keysym = _plain(keysym)
        if not down:
            return self._release(keysym)
        if keysym in DEAD_KEYS and keysym not in self._strokes:
            self._accent = keysym
            return []
        return list(self._type(self._accented(keysym)))

    def _accented(self, keysym: int) -> int:
        """The keysym with the accent of a preceding dead key that the guest's keyboard lacks, if
        there is such a character.
        """
        if not self._accent or keysym in SHIFTS or keysym in LEVEL3:
            return keysym
        accent, self._accent = DEAD_KEYS[self._accent], 0
        if keysym == ord(" "):
            return ord(accent.alone)
        with suppress(ValueError, TypeError):
            found = ord(unicodedata.normalize("NFC", chr(keysym) + accent.combining))
            return found if found in self._strokes else keysym
        return keysym

    def _type(self, keysym: int) -> Iterator[Press]:
        *first, last = self._strokes.get(keysym, (None,))
        if last is None:
            return
        if keysym == Keysym.CAPS_LOCK and keysym not in self._held:
            self._capitals = not self._capitals
        for stroke in first:
            yield from self._tap(stroke)
        if first or self._to_change(last):
            # If it were held, the modifiers would be back to what they were, and it would repeat as
            # something else.
            yield from self._tap(last)
        else:
            self._held[keysym] = last.code
            yield Press(last.code, True)

    def _tap(self, stroke: Stroke) -> Iterator[Press]:
        """Presses and releases a key with the modifiers that it needs."""
        changes = self._to_change(stroke)
        yield from changes
        yield Press(stroke.code, True)
        yield Press(stroke.code, False)
        self._forget(stroke.code)
        yield from (Press(code, not down) for code, down in reversed(changes))

    def _to_change(self, stroke: Stroke) -> list[Press]:
        """The modifiers to press or release before that key."""
        wanted = stroke.modifiers
        if stroke.capitals and self._capitals:
            wanted ^= SHIFT
        found: list[Press] = []
        for modifier, keys in MODIFIERS.items():
            held = self._held_of(keys)
            if not stroke.matters & modifier or bool(held) == bool(wanted & modifier):
                continue
            found += [Press(code, False) for code in held] or [
                Press(next(iter(keys.values())), True)
            ]
        if wanted & stroke.matters & ALTGR:
            both = [self._held_of(keys) for keys in FOR_ALTGR]
            found = [Press(code, False) for held in both for code in held if all(both)] + found
        return found

    def _held_of(self, keys: dict[Keysym, str]) -> list[str]:
        """Each once: where the right Alt is AltGr, both Alts of a viewer are one key."""
        return list(dict.fromkeys(self._held[one] for one in keys if one in self._held))

    def _release(self, keysym: int) -> list[Press]:
        strokes = self._strokes.get(keysym)
        code = self._held.get(keysym) or (strokes[-1].code if strokes else "")
        return [Press(code, False)] if self._forget(code) else []

    def _forget(self, code: str) -> bool:
        """Notes that a key is up, for every keysym that pressed it; returns whether it was down."""
        names = [one for one, held in self._held.items() if held == code]
        for name in names:
            del self._held[name]
        return bool(names)

    def release_all(self) -> list[Press]:
        """Releases all keys: the viewer has gone."""
        codes = dict.fromkeys(self._held.values())
        self._held.clear()
        return [Press(code, False) for code in codes]


def _plain(keysym: int) -> int:
    """The keysym without the mark of a character's code, if the code alone is the keysym."""
    character = keysym ^ UNICODE
    return character if character <= LATIN_1_MAX else keysym
