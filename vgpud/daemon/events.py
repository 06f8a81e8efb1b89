# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What happens to machines, for those who follow it: machines that come, go and are refused as the daemon sees that, the
rest from what sessions report.

A session says nothing by itself for this: it is asked, now and then, while somebody follows.  Who follows and does not
read costs so many events and no more; of what is left out he is told the number.
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
# However much happens.
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
        """Waits for one.  Of those that were lost it says how many, where they would have been."""
        while not self._waiting and not self.lost:
            self._come = trio.Event()
            await self._come.wait()
        if self._waiting:
            return self._waiting.popleft()
        lost, self.lost = self.lost, 0
        return _event("lost", None, count=lost)


class Events:
    """Published here, and told to whoever follows."""

    def __init__(self) -> None:
        self._followers: list[Follower] = []
        self._followed = trio.Event()
        self._looked = trio.Event()
        self._hint = trio.Event()

    def publish(self, kind: str, machine: str | None = None, **fields: Any) -> None:
        """``machine`` is its name; None for what is about none."""
        for follower in self._followers:
            follower.put(_event(kind, machine, **fields))

    def look_soon(self) -> None:
        """Something has happened that sessions know more of."""
        self._hint.set()

    async def follow(self, follower: Follower) -> None:
        """From when this returns on; ``ControlError`` when there are too many already."""
        self._make_room()
        self._followers.append(follower)
        self._followed.set()
        await self._looked.wait()

    def leave(self, follower: Follower) -> None:
        if follower in self._followers:
            self._followers.remove(follower)

    def _make_room(self) -> None:
        """Those who do not read keep nobody out."""
        if len(self._followers) < FOLLOWERS_MAX:
            return
        deaf = next((one for one in self._followers if one.lost), None)
        if deaf is None:
            raise ControlError(f"{FOLLOWERS_MAX} clients follow the events already")
        deaf.scope.cancel()
        self.leave(deaf)

    async def watch(self, look: Look) -> None:
        """Asks what there is to say of machines, as long as somebody wants to know; never returns."""
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
"""What there is to say of a machine that has just come."""


def changes(before: dict[str, Fields], now: dict[str, Fields]) -> Iterator[Change]:
    """Kind, name of the machine and more, of all that is different between two looks."""
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
