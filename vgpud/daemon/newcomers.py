# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""New connections: until they send something each costs a descriptor, but no process. This process
neither reads nor closes what a VMM has put into its connection: there may be a file in it that
hangs.
"""

import array
import fcntl
import socket
import termios
from collections import Counter
from contextlib import suppress
from functools import partial

import trio
from loguru import logger

from vgpud.daemon.log_shares import LogShares
from vgpud.daemon.machines import Machines
from vgpud.daemon.reload import Current
from vgpud.link.credentials import peer_of
from vgpud.link.limited_log import LimitedLog

# When descriptors, memory or processes have run out, trying again at once would only burn time.
AGAIN_SECONDS = 0.5


class Newcomers:
    """Accepts connections, and has each served or turned away as the limits say."""

    def __init__(self, current: Current, machines: Machines, shares: LogShares) -> None:
        self._current = current
        self._machines = machines
        self._shares = shares
        self._complain = LimitedLog(partial(logger.error, "{}")).write
        # In the order in which they connected, with the user of each.
        self._silent: dict[socket.socket, _Newcomer] = {}

    def __len__(self) -> int:
        return len(self._silent)

    async def accept(self, listening: socket.socket) -> None:
        """Never returns."""
        logger.info("waiting for front-ends")
        listening.setblocking(False)
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(listening)
                try:
                    connection, _ = listening.accept()
                except BlockingIOError:
                    continue
                except OSError as error:
                    self._complain(f"no front-end can be accepted: {error}; new connections wait")
                    await trio.sleep(AGAIN_SECONDS)
                    continue
                nursery.start_soon(self._receive, _Newcomer(connection))

    async def _receive(self, newcomer: "_Newcomer") -> None:
        limit = self._current.config.limits.first_message
        self._make_room()
        self._silent[newcomer.connection] = newcomer
        try:
            with trio.move_on_after(limit) as waiting, newcomer.patience:
                await trio.lowlevel.wait_readable(newcomer.connection)
        finally:
            del self._silent[newcomer.connection]
        if waiting.cancelled_caught:
            await self._turn_away(newcomer, f"it has said nothing for {limit:g} seconds")
        elif newcomer.patience.cancelled_caught:
            await self._turn_away(newcomer, "too many connections have said nothing yet")
        elif not unread(newcomer.connection):
            # It has left, and there is nothing in its connection.
            newcomer.connection.close()
        else:
            await self._serve(newcomer)

    def _make_room(self) -> None:
        """Silent connections of one user must not keep other users out."""
        if len(self._silent) < self._current.config.limits.silent_connections:
            return
        patient = [one for one in self._silent.values() if not one.patience.cancel_called]
        if not patient:
            return
        ((most, _),) = Counter(one.user for one in patient).most_common(1)
        next(one for one in patient if one.user == most).patience.cancel()

    def _refusal(self, user: int) -> str:
        """Why one more machine of this user cannot be served; empty when it can."""
        limits = self._current.config.limits
        if self._machines.count() >= limits.machines:
            return f"{limits.machines} machines are served already (limits.machines)"
        if self._machines.count(user) >= limits.connections_of_user:
            return (
                f"user {user} has {limits.connections_of_user} machines already "
                "(limits.connections_of_user)"
            )
        return ""

    async def _serve(self, newcomer: "_Newcomer") -> None:
        await self._machines.spawner.ready()
        while not (refusal := self._refusal(newcomer.user)):
            if self._hand_down(newcomer):
                return
            await self._wait()
        await self._turn_away(newcomer, refusal)

    async def _turn_away(self, newcomer: "_Newcomer", reason: str) -> None:
        self._shares.say(newcomer.user, f"process {newcomer.process} is not served: {reason}")
        self._machines.events.publish(
            "refused", process=newcomer.process, user=newcomer.user, reason=reason
        )
        end = newcomer.connection
        with suppress(OSError):  # the other end has gone
            end.shutdown(socket.SHUT_RDWR)
        # From now on nothing can be put into it.
        if not unread(end) or self._machines.close_elsewhere(end, newcomer.user):
            end.close()
            return
        while not self._hand_down(newcomer, reason):
            await self._wait()

    def _hand_down(self, newcomer: "_Newcomer", refusal: str = "") -> bool:
        try:
            self._machines.serve(newcomer.connection, self._current.config, refusal)
        except OSError as error:
            self._complain(f"no session can be started: {error}; the connection waits")
            return False
        return True

    async def _wait(self) -> None:
        await trio.sleep(AGAIN_SECONDS)
        await self._machines.spawner.ready()


class _Newcomer:
    """Owns the connection; ``patience`` is cancelled when another one needs its place."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.process, self.user, _ = peer_of(connection)
        self.patience = trio.CancelScope()


def unread(end: socket.socket) -> int:
    """How many bytes could be read; reads none."""
    count = array.array("i", [0])
    fcntl.ioctl(end, termios.FIONREAD, count)
    return count[0]
