# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a viewer types, as keys of a keyboard: X11's keysyms to QEMU's key codes (QKeyCode), by the layout of the USA.

A viewer says which character is wanted, whatever his own keyboard looks like; the key that has it on the guest's may need Shift
where his does not, or the other way round.  Shift is then pressed, or let go, for that one key.
"""

from collections.abc import Iterator
from typing import NamedTuple

from vgpud.wire.keysyms import Keysym

SHIFTS = {Keysym.SHIFT_L: "shift", Keysym.SHIFT_R: "shift_r"}
# Which of a key's characters is meant is decided here: on the guest's keyboard such a key would mean something else.
LEVELS = {Keysym.ISO_LEVEL3_SHIFT, Keysym.MODE_SWITCH}


class Press(NamedTuple):
    """A key that goes down or up."""

    code: str
    down: bool


class _Key(NamedTuple):
    """``shift``: with Shift, or without; None: either, for what is no character."""

    code: str
    shift: bool | None = None


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
    Keysym.KP_MULTIPLY: "kp_multiply", Keysym.KP_ADD: "kp_add", Keysym.KP_SEPARATOR: "kp_comma",
    Keysym.KP_SUBTRACT: "kp_subtract", Keysym.KP_DECIMAL: "kp_decimal", Keysym.KP_DIVIDE: "kp_divide",
    Keysym.KP_EQUAL: "kp_equals",
}  # fmt: skip


def _keyboard() -> dict[int, _Key]:
    keys = {ord(letter): _Key(letter, False) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"}
    keys |= {ord(letter.upper()): _Key(letter, True) for letter in "abcdefghijklmnopqrstuvwxyz"}
    keys |= {ord(character): _Key(code, False) for character, code in _PLAIN.items()}
    keys |= {ord(character): _Key(code, True) for character, code in _SHIFTED.items()}
    keys |= {keysym: _Key(code) for keysym, code in (_OTHERS | SHIFTS).items()}
    keys |= {Keysym.F1 + index: _Key(f"f{index + 1}") for index in range(12)}
    keys |= {Keysym.KP_0 + index: _Key(f"kp_{index}") for index in range(10)}
    keys[ord(" ")] = _Key("spc")
    return keys


KEYBOARD = _keyboard()


class Keyboard:
    """One viewer's: what he holds down, and what his locks are."""

    def __init__(self) -> None:
        # By what went down: a viewer may call it otherwise when it goes up, once Shift has.
        self._held: dict[int, str] = {}
        self._capitals = False

    def press(self, keysym: int, down: bool) -> list[Press]:
        """What of the guest's keyboard that is, in this order; nothing for what it has no key for."""
        key = KEYBOARD.get(keysym)
        if key is None or keysym in LEVELS:
            return []
        if not down:
            return self._release(keysym, key)
        if keysym == Keysym.CAPS_LOCK and keysym not in self._held:
            self._capitals = not self._capitals
        self._held[keysym] = key.code
        return list(self._with_shift(keysym, key))

    def _release(self, keysym: int, key: _Key) -> list[Press]:
        if self._held.pop(keysym, None) is None:
            # The same key by its other name.
            other = next((one for one, code in self._held.items() if code == key.code), None)
            if other is None:
                return []
            del self._held[other]
        # Somebody may have pressed it under both.
        return [] if key.code in self._held.values() else [Press(key.code, False)]

    def _with_shift(self, keysym: int, key: _Key) -> Iterator[Press]:
        shifts = [self._held[one] for one in SHIFTS if one in self._held]
        wanted = key.shift
        if wanted is not None and chr(keysym).isalpha():
            wanted ^= self._capitals
        if wanted is None or wanted == bool(shifts):
            yield Press(key.code, True)
        elif wanted:
            yield from (Press("shift", True), Press(key.code, True), Press("shift", False))
        else:
            yield from (Press(code, False) for code in shifts)
            yield Press(key.code, True)
            yield from (Press(code, True) for code in shifts)

    def release_all(self) -> list[Press]:
        """He has gone."""
        codes = dict.fromkeys(self._held.values())
        self._held.clear()
        return [Press(code, False) for code in codes]
