# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a viewer types becomes what the guest's keyboard would have to do for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.session.keys import Keyboard, Press, strokes_of
from vgpud.wire.keysyms import Keysym

USA = strokes_of(())
SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./", strict=True))
NAMES = {
    "-": "minus", "=": "equal", "[": "bracket_left", "]": "bracket_right", "\\": "backslash", ";": "semicolon",
    "'": "apostrophe", "`": "grave_accent", ",": "comma", ".": "dot", "/": "slash", " ": "spc",
}  # fmt: skip


@pytest.fixture
def keyboard() -> Keyboard:
    return Keyboard(USA)


class Guest:
    """What a guest with the layout of the USA makes of presses."""

    def __init__(self) -> None:
        self.down: list[str] = []
        self.typed = ""
        self.capitals = False

    def take(self, presses: list[Press]) -> None:
        for code, down in presses:
            if not down:
                self.down.remove(code)
                continue
            if code == "caps_lock":
                self.capitals = not self.capitals
            if code not in self.down:
                self.down.append(code)
            self.typed += self._character(code)

    def _character(self, code: str) -> str:
        shift = bool({"shift", "shift_r"} & set(self.down))
        plain = next((one for one, name in NAMES.items() if name == code), code)
        if len(plain) > 1:
            return ""
        if plain.isalpha():
            return plain.upper() if shift != self.capitals else plain
        back = {key: character for character, key in SHIFTED.items()}
        return back.get(plain, plain) if shift else plain


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)), st.booleans(), st.booleans())
def test_a_character_is_typed_whatever_shift_was_for_it_elsewhere(
    text: str, shift: bool, capitals: bool
) -> None:
    keyboard, guest = Keyboard(USA), Guest()
    if capitals:
        guest.take(keyboard.press(Keysym.CAPS_LOCK, True) + keyboard.press(Keysym.CAPS_LOCK, False))
    if shift:
        guest.take(keyboard.press(Keysym.SHIFT_R, True))
    for character in text:
        guest.take(keyboard.press(ord(character), True))
        guest.take(keyboard.press(ord(character), False))
    assert guest.typed == text
    assert guest.down == (["shift_r"] if shift else [])
    guest.take(keyboard.release_all())
    assert guest.down == []


@given(st.lists(st.tuples(st.sampled_from(sorted(USA)), st.booleans())))
def test_nothing_stays_down_when_a_viewer_goes(pressed: list[tuple[int, bool]]) -> None:
    keyboard, guest = Keyboard(USA), Guest()
    for keysym, down in pressed:
        guest.take(keyboard.press(keysym, down))
    guest.take(keyboard.release_all())
    assert guest.down == []


def test_a_key_that_is_held_is_held(keyboard: Keyboard) -> None:
    assert keyboard.press(Keysym.CONTROL_L, True) == [Press("ctrl", True)]
    assert keyboard.press(ord("c"), True) == [Press("c", True)]
    assert keyboard.press(ord("c"), True) == [Press("c", True)]  # it repeats
    assert keyboard.press(ord("c"), False) == [Press("c", False)]
    assert keyboard.press(Keysym.CONTROL_L, False) == [Press("ctrl", False)]


def test_a_key_goes_up_by_either_name(keyboard: Keyboard) -> None:
    keyboard.press(Keysym.SHIFT_L, True)
    keyboard.press(ord("A"), True)
    keyboard.press(Keysym.SHIFT_L, False)
    assert keyboard.press(ord("a"), False) == [Press("a", False)]


def test_one_that_has_both_names_goes_up_once(keyboard: Keyboard) -> None:
    keyboard.press(ord("a"), True)
    keyboard.press(Keysym.SHIFT_L, True)
    keyboard.press(ord("A"), True)  # it repeats
    assert keyboard.press(ord("A"), False) == [Press("a", False)]
    assert keyboard.press(ord("a"), False) == []


def test_what_takes_a_borrowed_shift_is_tapped(keyboard: Keyboard) -> None:
    """Held it would repeat without."""
    tapped = [("shift", True), ("1", True), ("1", False), ("shift", False)]
    assert keyboard.press(ord("!"), True) == tapped
    assert keyboard.press(ord("!"), True) == tapped
    assert keyboard.press(ord("!"), False) == []


def test_what_there_is_no_key_for_is_nothing(keyboard: Keyboard) -> None:
    for keysym in (0, 0xE4, Keysym.ISO_LEVEL3_SHIFT, 0xFF7E, 0x20AC, 0xFFFFFFFF):
        assert keyboard.press(keysym, True) == keyboard.press(keysym, False) == []
    assert keyboard.press(ord("a"), False) == []


@pytest.mark.parametrize(
    ("keysym", "code"),
    [
        (0xFFBE, "f1"),
        (0xFFC9, "f12"),
        (0xFF0D, "ret"),
        (0xFFFF, "delete"),
        (0xFFB7, "kp_7"),
        (0xFF8D, "kp_enter"),
    ],
)
def test_keys_without_characters(keyboard: Keyboard, keysym: int, code: str) -> None:
    assert keyboard.press(keysym, True) == [Press(code, True)]
