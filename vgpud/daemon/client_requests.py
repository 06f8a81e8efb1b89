# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The commands of ``vgpuctl``: carried out here, or handed down to the session of the machine that
they are about.
"""

import os
import time
from pathlib import Path

from loguru import logger

from vgpud import __version__
from vgpud.config.schema import LEVELS
from vgpud.control import serving
from vgpud.control.protocol import EVENTS, ControlError, Fields, read_request, request
from vgpud.control.serving import Answer, Command
from vgpud.daemon.machine import Machine
from vgpud.daemon.machines import Machines
from vgpud.daemon.newcomers import Newcomers
from vgpud.daemon.process_use import uses
from vgpud.daemon.reload import Current
from vgpud.daemon.usage import used_of_limits

OF_A_MACHINE = ("screen", "set-display")
"""Commands that a machine's own session answers, on the client's connection."""


class Commands:
    """A table from a command's name to its function, whose parameters are the request's fields."""

    def __init__(
        self, current: Current, machines: Machines, newcomers: Newcomers, socket_path: Path
    ) -> None:
        """``socket_path`` is the path by which users know this daemon."""
        self._current = current
        self._socket_path = socket_path.absolute()
        self._machines = machines
        self._newcomers = newcomers
        self.events = machines.events
        self._since = time.monotonic()
        self._table: dict[str, Command] = {
            "status": self._status,
            "log-level": self._set_log_level,
        }

    async def answer(self, connection: int, line: bytes) -> Answer | None:
        """The answer to a request's line; ``ControlError`` says why there is none. None when a
        machine's session answers, which then has a copy of the connection.
        """
        command, arguments = read_request(line)
        if command not in OF_A_MACHINE:
            return await serving.answer(self._table, line, (*OF_A_MACHINE, EVENTS))
        # Written again: what a session is told is ASCII, whatever the client's line was.
        again = request(command, **arguments).decode().strip()
        await self._find(arguments).hand_down(connection, again)
        return None

    def _find(self, arguments: Fields) -> Machine:
        name = arguments.get("machine")
        if name is not None and not isinstance(name, str):
            raise ControlError("a machine's name must be a string")
        found = self._machines.find(name)
        if found is None:
            raise ControlError("there is no machine" + (f" {name}" if name else ""))
        return found

    async def _status(self) -> Answer:
        config = self._current.config
        return {
            "version": __version__,
            "socket": str(self._socket_path),
            "instance": self._current.instance,
            "pid": os.getpid(),
            "spawner": self._machines.spawner.pid,
            "processes": uses(daemon=os.getpid(), spawner=self._machines.spawner.pid or 0),
            "seconds": time.monotonic() - self._since,
            "mode": config.renderer.mode,
            "headless": config.display.headless,
            "log_level": config.log.level,
            "limits": used_of_limits(config.limits, self._machines, self._newcomers),
            "log_lines_left_out": self._machines.lines_left_out,
            "machines": await self._machines.reports(),
        }, []

    async def _set_log_level(self, level: object = "") -> Answer:
        if not isinstance(level, str) or level not in LEVELS:
            raise ControlError(f"there is no log level {level}; there are {', '.join(LEVELS)}")
        self._current.set_log_level(level)
        logger.info("the log level is {}", level)
        return {"log_level": level}, []
