# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The cursor queue as one of the front-end's rings: it runs here, in the session."""

from vgpud.session.cursor_queue import CursorQueue
from vgpud.session.vring import Vring


class CursorRing:
    def __init__(self, cursor: CursorQueue) -> None:
        self._cursor = cursor

    async def start(self, vring: Vring) -> None:
        given = vring.descriptors
        self._cursor.set_kick(given.get("kick"))
        self._cursor.start(vring.config, vring.base, given.get("call"), given.get("err"))
        self._cursor.set_enabled(vring.enabled)

    async def set_enabled(self, vring: Vring) -> None:
        self._cursor.set_enabled(vring.enabled)

    async def set_descriptor(self, vring: Vring, which: str) -> None:
        setters = {
            "kick": self._cursor.set_kick,
            "call": self._cursor.set_call,
            "err": self._cursor.set_err,
        }
        setters[which](vring.descriptors.get(which))

    async def stop(self, vring: Vring) -> int:
        base = self._cursor.stop()
        self._cursor.set_kick(None)
        return base
