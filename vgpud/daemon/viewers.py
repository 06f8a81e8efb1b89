# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The sockets that viewers connect to: each connection is handed down, unread, to the session of a machine."""

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio
from loguru import logger

from vgpud.config.machine_files import file_name
from vgpud.config.schema import Config
from vgpud.daemon.control_socket import may_ask
from vgpud.daemon.listener import Listener, group_of, listen_beside, machine_view_path
from vgpud.daemon.machine import Machine
from vgpud.daemon.machines import Machines
from vgpud.errors import ConfigurationError
from vgpud.link.credentials import peer_of
from vgpud.link.limited_log import LimitedLog
from vgpud.tree.keyboard import Typed
from vgpud.tree.messages import HoldQmp, ServeViewer

# When descriptors have run out, trying again at once would only burn time.
AGAIN_SECONDS = 0.5


class Viewers:
    """``main`` is where viewers of the only machine connect.  If it has a path, and there may be
    several machines, each has a socket beside it.  ``layout`` is the guests' keyboard, empty: that
    of the USA.
    """

    def __init__(
        self,
        config: Config,
        main: Listener,
        machines: Machines,
        several: bool,
        layout: tuple[Typed, ...] = (),
    ) -> None:
        self._options = config.socket
        self._main = main
        self._beside = config.view.address.path if config.view.address and several else None
        self._checked = config.view.address is not None and config.view.address.path is not None
        self._qmp = config.view.qmp
        self._layout = layout
        self._machines = machines
        self._complain = LimitedLog(partial(logger.warning, "{}")).write

    async def run(self) -> None:
        """Never returns."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._accept, self._main, self._only_machine)
            if self._beside is not None:
                nursery.start_soon(self._follow_machines, self._beside)

    # --- a socket for each machine

    async def _follow_machines(self, path: Path) -> None:
        served: dict[Machine, trio.CancelScope] = {}
        async with trio.open_nursery() as nursery:
            while True:
                # A machine is shown only when its name is known.
                shown = [one for one in self._machines if one.shown and one.greeted.is_set()]
                for machine in served.keys() - set(shown):
                    served.pop(machine).cancel()
                for machine in shown:
                    if machine not in served:
                        served[machine] = trio.CancelScope()
                        beside = machine_view_path(path, file_name(machine.lasting_name))
                        nursery.start_soon(self._serve_machine, machine, beside, served[machine])
                await self._machines.changed()

    async def _serve_machine(self, machine: Machine, path: Path, scope: trio.CancelScope) -> None:
        try:
            listener = listen_beside(path, self._options)
        except ConfigurationError as error:
            logger.error("machine {} cannot have viewers: {}", machine.name, error)
            return
        try:
            with scope:
                await self._accept(listener, lambda: machine)
        finally:
            listener.close()

    # --- connections

    async def _accept(self, listener: Listener, find: Callable[[], Machine | None]) -> None:
        end = trio.socket.from_stdlib_socket(listener.end)
        while True:
            try:
                connection, _ = await end.accept()
            except OSError as error:
                self._complain(f"no viewer can be accepted: {error}; new connections wait")
                await trio.sleep(AGAIN_SECONDS)
                continue
            with connection:
                try:
                    self._hand_down(connection, find())
                except OSError as error:
                    self._complain(f"a viewer is turned away: {error}")

    def _only_machine(self) -> Machine | None:
        shown = [machine for machine in self._machines if machine.shown]
        if len(shown) == 1:
            return shown[0]
        count = "no machine is" if not shown else f"{len(shown)} machines are"
        self._complain(
            f"a viewer is turned away: {count} served, but this socket shows the only one"
        )
        return None

    def _hand_down(self, connection: trio.socket.SocketType, machine: Machine | None) -> None:
        if machine is None:
            return
        if self._checked and not may_ask(connection, group_of(self._options)):
            self._complain("a viewer is turned away: it may not use the control socket either")
            return
        machine.order(ServeViewer(self._connect_qmp(machine)), [connection.fileno()])

    def _connect_qmp(self, machine: Machine) -> bool:
        """Whether the machine's session has a connection to its VMM's QMP.

        The session gets the socket before it is connected: so we never have to close what a VMM
        puts into it.
        """
        if self._qmp is None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.setblocking(False)
            machine.order(HoldQmp(self._layout), [end.fileno()])
            try:
                end.connect(os.fspath(self._qmp))
            except BlockingIOError:
                # QMP serves another client: the session itself, for an earlier viewer, or the
                # session reports that it does not.
                return False
            except OSError as error:
                self._complain(f"viewers can press no keys: {self._qmp}: {error.strerror}")
                return False
            return self._is_of(machine, end)

    def _is_of(self, machine: Machine, qmp: socket.socket) -> bool:
        """Whether the VMM that listens there is this machine's."""
        if peer_of(qmp).process == machine.sender or self._count() == 1:
            return True
        self._complain(f"viewers can press no keys: {self._qmp} is another machine's")
        return False

    def _count(self) -> int:
        return sum(machine.shown for machine in self._machines)
