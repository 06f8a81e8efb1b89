# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Keys and pointer of one viewer, on their way from its view process to QEMU. The viewer may have
taken over that process: a record is only a keysym, a position and a few bits.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from vgpud.native import lib
from vgpud.session.keys import Keyboard, Press, Strokes
from vgpud.session.qmp import Qmp, QmpError

# In the order of RFB's bits; QEMU's names (InputButton).
BUTTONS = (
    "left",
    "middle",
    "right",
    "wheel-up",
    "wheel-down",
    "wheel-left",
    "wheel-right",
    "side",
)


class Record(NamedTuple):
    """``struct view_record``."""

    kind: int
    value: int
    x: int
    y: int
    width: int
    height: int


class Input:
    """``strokes`` is the guest's keyboard; ``complain`` is called when QEMU refuses something."""

    def __init__(self, qmp: Qmp, strokes: Strokes, complain: Callable[[str], object]) -> None:
        self._qmp = qmp
        self._complain = complain
        self._keyboard = Keyboard(strokes)
        self._buttons = 0
        self._place: tuple[int, int] | None = None

    async def take(self, record: Record) -> None:
        """Passes a record on; one that is neither a key nor the pointer is ignored."""
        if record.kind == lib.VIEW_KEY:
            await self._send(map(_key_event, self._keyboard.press(record.value, bool(record.x))))
        elif record.kind == lib.VIEW_POINTER:
            await self._send(self._pointer(record))

    async def release_all(self) -> None:
        """Releases whatever the viewer held: it has gone."""
        released = list(map(_key_event, self._keyboard.release_all()))
        await self._send([*released, *self._button_events(0)])

    def _pointer(self, record: Record) -> Iterator[dict[str, Any]]:
        place = min(record.x, lib.VIEW_POINTER_MAX), min(record.y, lib.VIEW_POINTER_MAX)
        if place != self._place:
            self._place = place
            for axis, value in zip("xy", place, strict=True):
                yield {"type": "abs", "data": {"axis": axis, "value": value}}
        yield from self._button_events(record.value)

    def _button_events(self, buttons: int) -> Iterator[dict[str, Any]]:
        changed, self._buttons = self._buttons ^ buttons, buttons
        for bit, name in enumerate(BUTTONS):
            if changed >> bit & 1:
                down = bool(buttons >> bit & 1)
                yield {"type": "btn", "data": {"down": down, "button": name}}

    async def _send(self, events: Iterable[dict[str, Any]]) -> None:
        told = list(events)
        if not told or not self._qmp.alive:
            return
        try:
            await self._qmp.send_events(told)
        except QmpError as error:
            self._complain(f"QEMU does not take a viewer's keys or pointer: {error}")


def _key_event(press: Press) -> dict[str, Any]:
    key = {"type": "qcode", "data": press.code}
    return {"type": "key", "data": {"down": press.down, "key": key}}
