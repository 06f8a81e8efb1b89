# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What ``vgpuctl`` asks of one machine, carried out by its session, which has the images and the
backend channel.
"""

from typing import Any

from loguru import logger

from vgpud.control import serving
from vgpud.control.protocol import ControlError
from vgpud.control.serving import Answer, Command
from vgpud.display.edid import MAXIMUM_SIDE
from vgpud.session.session import Session


class Commands:
    """A table from a command's name to its function, whose parameters are the request's fields."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table: dict[str, Command] = {
            "screen": self._screen,
            "set-display": self._set_display,
        }

    async def answer(self, line: bytes) -> Answer:
        """The answer to a request's line; ``ControlError`` says why there is none."""
        return await serving.answer(self._table, line)

    async def _screen(self, scanout: object = 0, machine: object = None) -> Answer:
        scanout_id = _number(scanout, "scanout")
        await self._session.look(scanout_id)
        screen = self._session.screen(scanout_id)
        if screen is None:
            raise ControlError(f"scanout {scanout} shows nothing")
        shown, (width, height), image = screen
        fields: dict[str, Any] = {
            **shown._asdict(),
            "image_width": width,
            "image_height": height,
        }
        return fields, [image]

    async def _set_display(
        self,
        scanout: object = 0,
        machine: object = None,
        width: object = None,
        height: object = None,
    ) -> Answer:
        """Plugs in a display of that size; without a size, none."""
        size = None if width is None and height is None else (_side(width), _side(height))
        announced = await self._session.set_output(_number(scanout, "scanout"), size)
        logger.info(
            "output {}: {}", scanout, "unplugged" if size is None else f"{size[0]}x{size[1]}"
        )
        return {"announced": announced}, []


def _number(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ControlError(f"a {what} must be a number")
    return value


def _side(value: object) -> int:
    if (side := _number(value, "side of a display")) not in range(1, MAXIMUM_SIDE + 1):
        raise ControlError(f"a side of a display must have 1 to {MAXIMUM_SIDE} pixels")
    return side
