# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The processes of one machine besides its session: device process, render server, view processes."""

import os
from typing import Protocol

import trio

from vgpud.daemon.readable import Readable
from vgpud.tree.messages import DEVICE, RENDER_SERVER, VIEW
from vgpud.tree.process import end_group, kill, reap, reap_group

# How long the workers of a render server may take to end with it.
REAPED_SECONDS = 2.0
AGAIN_SECONDS = 0.1


class Owner(Protocol):
    """Whose processes they are."""

    def on_helper_end(self) -> None:
        """One of them has ended."""
        ...

    def on_failure(self, error: Exception) -> None:
        """A mistake of this program."""
        ...


class Helpers:
    """Owns their pidfds."""

    KINDS = (DEVICE, RENDER_SERVER, VIEW)

    def __init__(self, readable: Readable, owner: Owner) -> None:
        self._readable = readable
        self._owner = owner
        self._nursery: trio.Nursery | None = None
        self._pidfds: dict[tuple[str, int], int] = {}

    def __bool__(self) -> bool:
        return bool(self._pidfds)

    def last(self, kind: str) -> int:
        """The newest of that kind; 0 when there is none."""
        return next((pid for one, pid in reversed(self._pidfds) if one == kind), 0)

    def watch(self, nursery: trio.Nursery) -> None:
        """Waits for their ends from now on, also for those that are noted later."""
        self._nursery = nursery
        for pidfd in self._pidfds.values():
            self._readable.add(pidfd, self)

    def note(self, kind: str, pid: int) -> None:
        """There is another one; ``OSError`` when that has ended already."""
        if kind != VIEW:
            # A machine has one device process.  An earlier spawner's, which that cannot end any
            # more, is ended here.
            self.end(kind)
        pidfd = self._pidfds[kind, pid] = os.pidfd_open(pid)
        if self._nursery is not None:
            self._readable.add(pidfd, self)

    def on_readable(self, descriptor: int) -> None:
        """One has ended."""
        kind, pid = next(one for one, pidfd in self._pidfds.items() if pidfd == descriptor)
        self._forget(kind, pid)
        if kind == RENDER_SERVER and self._nursery is not None:
            self._nursery.start_soon(_reap_workers, pid)
        self._owner.on_helper_end()

    def on_failure(self, error: Exception) -> None:
        self._owner.on_failure(error)

    def _forget(self, kind: str, pid: int) -> None:
        pidfd = self._pidfds.pop((kind, pid))
        self._readable.remove(pidfd)
        # It is our child when its spawner has died before it.
        reap(pidfd)
        os.close(pidfd)
        if kind == RENDER_SERVER:
            end_group(pid)

    def end(self, *kinds: str) -> None:
        """Kills those of these kinds; without any, all."""
        for (kind, pid), pidfd in self._pidfds.items():
            if not kinds or kind in kinds:
                kill(pidfd)
                if kind == RENDER_SERVER:
                    end_group(pid)

    def close(self) -> None:
        """Nobody waits for them any more.  Their owner, which has us, can go at once and does not wait for the
        collector.
        """
        for kind, pid in list(self._pidfds):
            self._forget(kind, pid)
        del self._owner


async def _reap_workers(group: int) -> None:
    """Workers are the spawner's children when their server has died; ours, when the spawner has
    died too.
    """
    with trio.move_on_after(REAPED_SECONDS):
        while not reap_group(group):
            await trio.sleep(AGAIN_SECONDS)
