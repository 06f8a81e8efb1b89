# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a viewer types comes out of a guest whose keyboard has another layout than that of the USA, whatever the viewer's has."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vgpud.cli.keyboard_layout import LayoutError
from vgpud.cli.view_check import read_layout
from vgpud.config.schema import View
from vgpud.errors import ConfigurationError
from vgpud.session.keys import Keyboard, Press, Strokes, strokes_of
from vgpud.wire.keysyms import DEAD_KEYS, UNICODE, Keysym

from ..driver.xkb import LIBRARY, XkbGuest, available

pytestmark = pytest.mark.skipif(
    not available(), reason="there is no libxkbcommon with layouts and compose sequences"
)

ALT_GR, CONTROL, ALT, ALT_R, SHIFT = (
    Keysym.ISO_LEVEL3_SHIFT,
    Keysym.CONTROL_L,
    Keysym.ALT_L,
    Keysym.ALT_R,
    Keysym.SHIFT_L,
)
QMP = Path("/qmp")
ASCII = "".join(map(chr, range(0x20, 0x7F)))
TYPED = {
    "de": f"{ASCII}äöüßÄÖÜ°§²³€µéèêâÉÀ",
    "fr": f"{ASCII}éèàçùêâîôûëïüÊÂ€£µ§²°",
    "ch": f"{ASCII}äöüéèàêñ€",
    "es": f"{ASCII}ñÑáéíóúüçÁ¿¡€",
    "gb": f"{ASCII}£¬€",
}


@cache
def strokes(layout: str) -> Strokes:
    return strokes_of(read_layout(View(qmp=QMP, layout=layout)))


@cache
def _keysym() -> Callable[[int], int]:
    convert = ctypes.CDLL(LIBRARY).xkb_utf32_to_keysym
    convert.restype = ctypes.c_uint32
    return convert


def keysym(character: str) -> int:
    """As most viewers call it."""
    return int(_keysym()(ord(character)))


def typed(layout: str, *keysyms: int, held: tuple[int, ...] = ()) -> XkbGuest:
    """What comes out when each is pressed and let go of, while others are held."""
    keyboard, guest = Keyboard(strokes(layout)), XkbGuest(layout)
    for one in held:
        guest.take(keyboard.press(one, True))
    for one in keysyms:
        guest.take(keyboard.press(one, True))
        guest.take(keyboard.press(one, False))
    return guest


@pytest.mark.parametrize("layout", TYPED)
@pytest.mark.parametrize("held", [(), (SHIFT,), (ALT_GR,), (SHIFT, ALT_GR)])
def test_each_character_is_typed_whatever_it_took_elsewhere(
    layout: str, held: tuple[int, ...]
) -> None:
    for character in TYPED[layout]:
        guest = typed(layout, keysym(character), held=held)
        assert guest.typed == character
        assert len(guest.down) == len(held)


@given(st.sampled_from(sorted(TYPED)), st.data(), st.booleans())
def test_texts_are_typed_with_caps_lock_too(
    layout: str, data: st.DataObject, capitals: bool
) -> None:
    text = data.draw(st.text(ASCII))
    locked = (Keysym.CAPS_LOCK,) if capitals else ()
    guest = typed(layout, *locked, *map(keysym, text))
    assert guest.typed == text
    assert guest.down == []


@pytest.mark.parametrize("layout", TYPED)
def test_what_a_viewer_may_call_a_character(layout: str) -> None:
    assert typed(layout, keysym("€"), UNICODE | ord("€"), UNICODE | ord("A")).typed == "€€A"


def test_a_german_at() -> None:
    keyboard = Keyboard(strokes("de"))
    assert keyboard.press(ALT_GR, True) == [Press("alt_r", True)]
    # As long as he holds it.
    assert keyboard.press(ord("@"), True) == [Press("q", True)]
    assert keyboard.press(ord("@"), False) == [Press("q", False)]
    assert keyboard.press(ALT_GR, False) == [Press("alt_r", False)]
    # On a keyboard where it is Shift and 2.
    keyboard.press(SHIFT, True)
    assert [code for code, down in keyboard.press(ord("@"), True) if down] == [
        "alt_r",
        "q",
        "shift",
    ]
    assert keyboard.press(ord("@"), False) == []


def test_dead_keys_are_keys_where_the_guest_has_them() -> None:
    acute, circumflex = 0xFE51, 0xFE52
    assert typed("de", acute, ord("e"), circumflex, ord("o")).typed == "éô"


def test_dead_keys_do_what_they_can_where_it_has_not() -> None:
    acute, circumflex, tilde, diaeresis = 0xFE51, 0xFE52, 0xFE53, 0xFE57
    keysyms = (circumflex, ord(" "), tilde, ord(" "), acute, ord("e"), diaeresis, ord("x"))
    assert typed("us", *keysyms).typed == "^~ex"
    assert typed("de(nodeadkeys)", diaeresis, ord("u"), diaeresis, SHIFT, ord("U")).typed == "üÜ"


def test_control_and_alt_are_a_viewer_s_altgr_where_that_is_wanted() -> None:
    guest = typed("de", ord("@"), ord("{"), held=(CONTROL, ALT_R))
    assert guest.typed == "@{"
    assert sorted(guest.down) == ["alt", "ctrl"]
    keyboard = Keyboard(strokes("de"))
    for one in (CONTROL, ALT):
        keyboard.press(one, True)
    # A shortcut stays one.
    assert keyboard.press(ord("t"), True) == [Press("t", True)]


def test_the_right_alt_is_no_alt_where_it_is_altgr() -> None:
    assert Keyboard(strokes("de")).press(ALT_R, True) == [Press("alt", True)]
    assert Keyboard(strokes("us")).press(ALT_R, True) == [Press("alt_r", True)]


def test_what_the_layout_lacks_is_nothing() -> None:
    for layout in ("de", "fr", "us"):
        guest = typed(layout, keysym("я"), keysym("あ"), 0xFFFFFFFF, UNICODE | 0x10FFFF, ord("k"))
        assert guest.typed == "k"


@given(
    st.sampled_from(["de", "fr", "us"]),
    st.lists(
        st.tuples(
            st.sampled_from([*map(ord, "aAqQ@1!^~ "), 0xE9, SHIFT, ALT_GR, CONTROL, ALT, ALT_R])
            | st.sampled_from([*DEAD_KEYS, Keysym.CAPS_LOCK]),
            st.booleans(),
        )
    ),
)
@example("de", [(CONTROL, True), (ALT, True), (ALT_R, True), (ord("@"), True)])
def test_nothing_stays_down_when_a_viewer_goes(
    layout: str, pressed: list[tuple[int, bool]]
) -> None:
    keyboard, guest = Keyboard(strokes(layout)), XkbGuest(layout)
    for one, down in pressed:
        guest.take(keyboard.press(one, down))
    guest.take(keyboard.release_all())
    assert guest.down == []


def test_layouts_that_there_are_not_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"view\.layout: there is no keyboard layout xx "):
        read_layout(View(qmp=QMP, layout="xx"))


def test_without_the_library_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from vgpud.cli import keyboard_layout

    monkeypatch.setattr(keyboard_layout, "LIBRARY", "libxkbcommon.so.none")
    with pytest.raises(LayoutError, match="apt install libxkbcommon0 xkb-data"):
        keyboard_layout.Layout("de")


def test_nobody_asks_for_what_nobody_types_on() -> None:
    assert read_layout(View(layout="xx")) == read_layout(View(qmp=QMP)) == ()
