# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Device processes without a spawner, each with its own interpreter: for a session inside a
test.
"""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import trio

import vgpud
from vgpud.link.trio_connection import TrioConnection
from vgpud.session.devices import DeviceProcess
from vgpud.tree.process import Ending

from ..device.program import PROGRAM

PLACE = str(Path(vgpud.__file__).parent.parent)


class _Life:
    def __init__(self, process: trio.Process, life: int, out_of_memory: bool) -> None:
        self._process = process
        self._out_of_memory = out_of_memory
        self._life = life

    async def ended(self) -> Ending:
        status = await self._process.wait()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        return Ending(max(status, 0), max(-status, 0), self._out_of_memory and status < 0)

    def kill(self) -> None:
        self._process.kill()

    async def start_server(self) -> None:
        raise OSError(errno.ENOENT, "it has none")

    async def server_started(self) -> None:
        await trio.sleep_forever()

    async def server_ended(self) -> str:
        await trio.sleep_forever()

    def kill_worker(self, ctx_id: int) -> None:
        """It has none."""

    def kill_server(self) -> None:
        """It has none."""


class ExecutedDevices:
    """Each runs ``program`` with the numbers of its link and its life as arguments.

    ``out_of_memory``: those that are killed are said to be killed by the kernel, for want of memory.
    """

    def __init__(
        self,
        program: str = PROGRAM,
        environment: dict[str, str] | None = None,
        *,
        out_of_memory: bool = False,
    ) -> None:
        self._out_of_memory = out_of_memory
        self._program = program
        self._environment = (
            os.environ | {"PYTHONPATH": PLACE} if environment is None else environment
        )

    async def start(self, vulkan: bool) -> DeviceProcess:
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-c", self._program, str(theirs.fileno()), str(reading)],
                pass_fds=[theirs.fileno(), reading],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
            )
        os.close(reading)
        return DeviceProcess(
            process.pid, TrioConnection(ours), _Life(process, writing, self._out_of_memory)
        )
