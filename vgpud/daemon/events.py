# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What happens to machines, for clients that follow it.  The daemon itself sees machines connect,
leave and be refused; the rest comes from what sessions report.

A session sends nothing unasked for this: it is asked now and then, while somebody follows.  A
follower that does not read costs a bounded number of events; it is told how many were left out.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import trio

from vgpud.control.protocol import ControlError, Fields

FOLLOWERS_MAX = 8
WAITING_MAX = 256
LOOK_SECONDS = 2.0
# Between two looks, however much happens.
PAUSE_SECONDS = 0.1

Look = Callable[[], Awaitable[list[Fields]]]


class Follower:
    """The events that one client has not got yet."""

    def __init__(self) -> None:
        self._waiting: deque[Fields] = deque()
        self._come = trio.Event()
        self.lost = 0
        self.scope = trio.CancelScope()

    def put(self, event: Fields) -> None:
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(event)
        else:
            self.lost += 1
        self._come.set()

    async def next(self) -> Fields:
        """Waits for the next event.  In the place of lost events it says how many they were."""
        while not self._waiting and not self.lost:
            self._come = trio.Event()
            await self._come.wait()
        if self._waiting:
            return self._waiting.popleft()
        lost, self.lost = self.lost, 0
        return _event("lost", None, count=lost)


class Events:
    """Events are published here, and passed to all followers."""

    def __init__(self) -> None:
        self._followers: list[Follower] = []
        self._followed = trio.Event()
        self._looked = trio.Event()
        self._hint = trio.Event()

    def publish(self, kind: str, machine: str | None = None, **fields: Any) -> None:
        """``machine`` is its name; None for events that are about no machine."""
        for follower in self._followers:
            follower.put(_event(kind, machine, **fields))

    def look_soon(self) -> None:
        """Has the sessions asked soon: something has happened that they know more about."""
        self._hint.set()

    async def follow(self, follower: Follower) -> None:
        """Adds a follower; ``ControlError`` when there are too many already."""
        self._make_room()
        self._followers.append(follower)
        self._followed.set()
        await self._looked.wait()

    def leave(self, follower: Follower) -> None:
        if follower in self._followers:
            self._followers.remove(follower)

    def _make_room(self) -> None:
        """Followers that do not read must not keep others out."""
        if len(self._followers) < FOLLOWERS_MAX:
            return
        deaf = next((one for one in self._followers if one.lost), None)
        if deaf is None:
            raise ControlError(f"{FOLLOWERS_MAX} clients follow the events already")
        deaf.scope.cancel()
        self.leave(deaf)

    async def watch(self, look: Look) -> None:
        """Asks about the machines, as long as somebody follows; never returns."""
        while True:
            await self._followed.wait()
            before = await _by_name(look)
            self._looked.set()
            while self._followers:
                with trio.move_on_after(LOOK_SECONDS):
                    await self._hint.wait()
                await trio.sleep(PAUSE_SECONDS)
                self._hint = trio.Event()
                now = await _by_name(look)
                for kind, name, fields in changes(before, now):
                    self.publish(kind, name, **fields)
                before = now
            self._followed, self._looked = trio.Event(), trio.Event()


def _event(kind: str, machine: str | None, **fields: Any) -> Fields:
    """``time`` is in seconds since 1970."""
    return {"time": round(time.time(), 3), "kind": kind, "machine": machine, **fields}


async def _by_name(look: Look) -> dict[str, Fields]:
    return {machine["name"]: machine for machine in await look()}


Change = tuple[str, str, Fields]

NEW: Fields = {"answers": True, "restarts": 0, "given_up": False, "counters": {"out_of_memory": 0}}
"""The report of a machine that has just connected."""


def changes(before: dict[str, Fields], now: dict[str, Fields]) -> Iterator[Change]:
    """All differences between two looks: kind, name of the machine, and more."""
    for name, machine in now.items():
        old = before.get(name, NEW)
        if machine["answers"] != old["answers"]:
            yield "answers" if machine["answers"] else "silent", name, {}
        if machine["answers"] and old["answers"]:
            yield from _reported(name, old, machine)


def _reported(name: str, old: Fields, machine: Fields) -> Iterator[Change]:
    if restarts := machine["restarts"] - old["restarts"]:
        yield "restarted", name, {"count": restarts, "reason": machine["last_reason"]}
    if machine["given_up"] and not old["given_up"]:
        yield "given-up", name, {"reason": machine["last_reason"]}
    refused = machine["counters"]["out_of_memory"] - old["counters"]["out_of_memory"]
    if refused > 0:
        yield "quota", name, {"count": refused, "limits": machine["limits"]}
