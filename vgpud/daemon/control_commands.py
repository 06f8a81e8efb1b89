# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What ``vgpuctl`` asks for, carried out."""

import os
import time
from collections.abc import Awaitable, Callable

from loguru import logger

from vgpud import __version__
from vgpud.config.schema import LEVELS
from vgpud.control.protocol import ControlError, Fields, read_request
from vgpud.daemon.machines import Machine, Machines
from vgpud.daemon.reload import Current
from vgpud.display.edid import MAXIMUM_SIDE

Answer = tuple[Fields, list[int]]
"""The fields of a result, and descriptors that go with it, which are the asker's to close."""


class Commands:
    """A table from a command's name to its function, whose parameters are the request's fields."""

    def __init__(self, current: Current, machines: Machines) -> None:
        self._current = current
        self._machines = machines
        self._since = time.monotonic()
        self._table: dict[str, Callable[..., Awaitable[Answer]]] = {
            "status": self._status,
            "screen": self._screen,
            "set-display": self._set_display,
            "log-level": self._set_log_level,
        }

    async def answer(self, line: bytes) -> Answer:
        """Of a request's line; ``ControlError`` says why there is none."""
        command, arguments = read_request(line)
        function = self._table.get(command)
        if function is None:
            raise ControlError(f"there is no command {command}; {', '.join(self._table)} are")
        try:
            answering = function(**arguments)
        except TypeError:
            raise ControlError(f"{command} has no such arguments: {', '.join(arguments)}") from None
        return await answering

    async def _status(self) -> Answer:
        config = self._current.config
        return {
            "version": __version__,
            "pid": os.getpid(),
            "seconds": time.monotonic() - self._since,
            "mode": config.renderer.mode,
            "headless": config.display.headless,
            "log_level": config.log.level,
            "machines": self._machines.reports(),
        }, []

    async def _screen(self, scanout: object = 0, machine: object = None) -> Answer:
        shows, scanout_id = self._machine(machine), _number(scanout, "scanout")
        if shows.screen(scanout_id) is not None:
            await shows.look(scanout_id)
        screen = shows.screen(scanout_id)
        if screen is None:
            raise ControlError(f"scanout {scanout} shows nothing")
        shown, (width, height), image = screen
        fields = {**shown._asdict(), "image_width": width, "image_height": height}
        # The image may be closed before the answer is on its way.
        return fields, [os.dup(image)]

    async def _set_display(
        self,
        scanout: object = 0,
        machine: object = None,
        width: object = None,
        height: object = None,
    ) -> Answer:
        """Without a size nothing is plugged in."""
        size = None if width is None and height is None else (_side(width), _side(height))
        await self._machine(machine).set_output(_number(scanout, "scanout"), size)
        logger.info(
            "output {} of {}: {}",
            scanout,
            f"machine {machine}" if machine else "the first machine",
            "unplugged" if size is None else f"{width}x{height}",
        )
        return {}, []

    async def _set_log_level(self, level: object = "") -> Answer:
        if not isinstance(level, str) or level not in LEVELS:
            raise ControlError(f"there is no log level {level}; {', '.join(LEVELS)} are")
        self._current.set_log_level(level)
        logger.info("the log level is {}", level)
        return {"log_level": level}, []

    def _machine(self, name: object) -> Machine:
        if name is not None and not isinstance(name, str):
            raise ControlError("a machine is named by a string")
        found = self._machines.find(name)
        if found is None:
            raise ControlError("there is no machine" + (f" {name}" if name else ""))
        return found


def _number(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ControlError(f"a {what} is a number")
    return value


def _side(value: object) -> int:
    if (side := _number(value, "side of a display")) not in range(1, MAXIMUM_SIDE + 1):
        raise ControlError(f"a side of a display has 1 to {MAXIMUM_SIDE} pixels")
    return side
