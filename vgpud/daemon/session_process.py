# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The process of one machine's session: forked by the spawner, reaped by it or by us."""

import os

import trio

from vgpud.tree.process import Ending, kill, reap

# How long the spawner may take to tell how a process ended, on a busy host.
REAPED_SECONDS = 2.0


class SessionProcess:
    """``pid`` is 0 until the spawner has forked it; ``ending`` is how it ended, if somebody has seen that."""

    def __init__(self) -> None:
        self.pid = 0
        self.ending: Ending | None = None
        self._pidfd: int | None = None
        self._known = trio.Event()
        self._reaped = trio.Event()

    @property
    def known(self) -> bool:
        """Whether it can be waited for."""
        return self._pidfd is not None

    def note(self, pid: int) -> None:
        """Which it is; ``OSError`` when that has ended already."""
        self.pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        finally:
            self._known.set()

    def give_up(self) -> None:
        """There will be none, or none that we know."""
        self._known.set()

    def note_ending(self, ending: Ending) -> None:
        """The spawner has reaped it."""
        self.ending = ending
        self._reaped.set()

    async def wait(self) -> None:
        """Until it has ended, or is given up."""
        await self._known.wait()
        if self._pidfd is None:
            return
        await trio.lowlevel.wait_readable(self._pidfd)
        # It is the child of an earlier daemon's spawner: nobody tells us how it ended.
        self.ending = self.ending or reap(self._pidfd)
        if self.ending is None:
            with trio.move_on_after(REAPED_SECONDS):
                await self._reaped.wait()

    def kill(self) -> None:
        if self._pidfd is not None:
            kill(self._pidfd)

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
