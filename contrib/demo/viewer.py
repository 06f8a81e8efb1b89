# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A window for a machine for which QEMU has none: QEMU's windows need a host that can import DMA
buffers. The pictures are QEMU's screendumps; keys go to the guest's keyboard.
"""

from __future__ import annotations

import tkinter

from tests.e2e.machine import Machine
from tests.e2e.picture import Picture

REFRESH_MS = 100

# X's names of keys, where they are not QEMU's.
KEYS = {
    "Return": "ret",
    "space": "spc",
    "BackSpace": "backspace",
    "Tab": "tab",
    "Escape": "esc",
    "Delete": "delete",
    "Up": "up",
    "Down": "down",
    "Left": "left",
    "Right": "right",
    "Shift_L": "shift",
    "Shift_R": "shift_r",
    "Control_L": "ctrl",
    "Control_R": "ctrl_r",
    "Alt_L": "alt",
    "period": "dot",
    "grave": "grave_accent",
    "bracketleft": "bracket_left",
    "bracketright": "bracket_right",
}
PLAIN = {"minus", "equal", "slash", "comma", "semicolon", "apostrophe", "backslash"}
# What a US keyboard has on a key with shift.
SHIFTED = dict(
    zip(
        [
            "exclam",
            "at",
            "numbersign",
            "dollar",
            "percent",
            "asciicircum",
            "ampersand",
            "asterisk",
            "parenleft",
            "parenright",
            "underscore",
            "plus",
            "question",
            "less",
            "greater",
            "colon",
            "quotedbl",
            "bar",
            "asciitilde",
            "braceleft",
            "braceright",
        ],
        [
            "1",
            "2",
            "3",
            "4",
            "5",
            "6",
            "7",
            "8",
            "9",
            "0",
            "minus",
            "equal",
            "slash",
            "comma",
            "dot",
            "semicolon",
            "apostrophe",
            "backslash",
            "grave_accent",
            "bracket_left",
            "bracket_right",
        ],
        strict=True,
    )
)


def key_code(keysym: str) -> str | None:
    """QEMU's name of the key that X calls ``keysym``; None when there is none."""
    if keysym in KEYS:
        return KEYS[keysym]
    if keysym in PLAIN or (len(keysym) == 1 and keysym.isascii() and keysym.isalnum()):
        return keysym.lower()
    return SHIFTED.get(keysym)


class Viewer:
    """``run`` returns when the window is closed or the machine has ended."""

    def __init__(self, machine: Machine) -> None:
        """Raises tkinter.TclError when there is no display."""
        self._machine = machine
        self._window = tkinter.Tk()
        self._window.title("vgpud")
        self._label = tkinter.Label(self._window, borderwidth=0, background="black")
        self._label.pack()
        self._shown: Picture | None = None
        self._failure: BaseException | None = None
        self._window.report_callback_exception = self._fail
        self._window.bind("<KeyPress>", lambda event: self._press(event.keysym, True))
        self._window.bind("<KeyRelease>", lambda event: self._press(event.keysym, False))
        self._refresh()

    def run(self) -> None:
        self._window.mainloop()
        if self._failure is not None:
            raise self._failure

    def _fail(self, _kind: object, failure: BaseException, _traceback: object) -> None:
        """Ends the window; Tk itself would print what a callback raises, even Ctrl-C, and go on."""
        self._failure = failure
        self._window.destroy()

    def _refresh(self) -> None:
        if self._machine.process.exit_code is not None:
            self._window.destroy()
            return
        picture = self._machine.screendump()
        if picture != self._shown:
            header = f"P6 {picture.width} {picture.height} 255\n".encode()
            self._image = tkinter.PhotoImage(data=header + picture.pixels)
            self._label.configure(image=self._image)
            self._shown = picture
        self._window.after(REFRESH_MS, self._refresh)

    def _press(self, keysym: str, down: bool) -> None:
        code = key_code(keysym)
        if code is None:
            return
        key = {"down": down, "key": {"type": "qcode", "data": code}}
        self._machine.qmp.execute("input-send-event", events=[{"type": "key", "data": key}])
