# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a guest types whose keyboard has some layout: libxkbcommon's state, with compose sequences, as X and Wayland have them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache
from typing import Any

LIBRARY = "libxkbcommon.so.0"
LOCALE = b"en_US.UTF-8"
KEY_UP, KEY_DOWN = 0, 1
NOTHING, COMPOSING, COMPOSED, CANCELLED = range(4)
EVDEV_OFFSET = 8
FIRST_MODIFIER, LAST_MODIFIER = 0xFE01, 0xFFEE
DEAD_FIRST, DEAD_LAST = 0xFE50, 0xFE93

# QEMU's names in the order of a keyboard's rows (<linux/input-event-codes.h>).
ROWS = {
    1: "esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab q w e r t y u i o p bracket_left bracket_right ret ctrl",
    30: "a s d f g h j k l semicolon apostrophe grave_accent shift backslash z x c v b n m comma dot slash shift_r",
    56: "alt spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock kp_7 kp_8 kp_9 kp_subtract kp_4 kp_5",
    77: "kp_6 kp_add kp_1 kp_2 kp_3 kp_0 kp_decimal",
    86: "less f11 f12 ro",
    96: "kp_enter ctrl_r kp_divide sysrq alt_r",
    102: "home up pgup left right end down pgdn insert delete",
    117: "kp_equals",
    125: "meta_l meta_r menu",
}
CODES = {
    name: first + place for first, names in ROWS.items() for place, name in enumerate(names.split())
} | {"kp_multiply": 55, "pause": 119, "yen": 124, "print": 99}


class _Names(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options")
    ]


@cache
def _library() -> Any:
    library = ctypes.CDLL(LIBRARY)
    for name in (
        *("xkb_context_new", "xkb_keymap_new_from_names", "xkb_state_new"),
        *("xkb_compose_table_new_from_locale", "xkb_compose_state_new"),
    ):
        getattr(library, name).restype = ctypes.c_void_p
    library.xkb_state_key_get_one_sym.restype = ctypes.c_uint32
    return library


def _made(pointer: int | None) -> ctypes.c_void_p:
    if not pointer:
        raise OSError("libxkbcommon has no such thing")
    return ctypes.c_void_p(pointer)


@cache
def _keymap(layout: str) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
    """And the table of compose sequences."""
    library = _library()
    context = _made(library.xkb_context_new(0))
    name, _, variant = layout.rstrip(")").partition("(")
    names = _Names(b"evdev", b"pc105", name.encode(), variant.encode(), b"")
    keymap = _made(library.xkb_keymap_new_from_names(context, ctypes.byref(names), 0))
    return keymap, _made(library.xkb_compose_table_new_from_locale(context, LOCALE, 0))


def available() -> bool:
    """Whether there is the library, its layouts and its compose sequences."""
    try:
        XkbGuest("us")
    except OSError:
        return False
    return True


class XkbGuest:
    """``typed`` is the text so far, ``down`` the keys that are held."""

    def __init__(self, layout: str) -> None:
        """A layout as vgpud is told it: ``de(nodeadkeys)``."""
        self._library = _library()
        keymap, table = _keymap(layout)
        self._state = _made(self._library.xkb_state_new(keymap))
        self._compose = _made(self._library.xkb_compose_state_new(table, 0))
        self.down: list[str] = []
        self.typed = ""

    def take(self, presses: Iterable[tuple[str, bool]]) -> None:
        """Keys by QEMU's names, down or up."""
        for name, down in presses:
            code = CODES[name] + EVDEV_OFFSET
            if down:
                self._press(code)
                if name not in self.down:
                    self.down.append(name)
                    self._library.xkb_state_update_key(self._state, code, KEY_DOWN)
            else:
                self.down.remove(name)
                self._library.xkb_state_update_key(self._state, code, KEY_UP)

    def _press(self, code: int) -> None:
        keysym = self._library.xkb_state_key_get_one_sym(self._state, code)
        if FIRST_MODIFIER <= keysym <= LAST_MODIFIER and not DEAD_FIRST <= keysym <= DEAD_LAST:
            return
        self._library.xkb_compose_state_feed(self._compose, keysym)
        status = self._library.xkb_compose_state_get_status(self._compose)
        if status == COMPOSED:
            self.typed += self._text(self._library.xkb_compose_state_get_utf8, self._compose)
        elif status == NOTHING:
            self.typed += self._text(self._library.xkb_state_key_get_utf8, self._state, code)

    def _text(self, read: Any, *of: Any) -> str:
        room = ctypes.create_string_buffer(64)
        read(*of, room, len(room))
        return room.value.decode()
