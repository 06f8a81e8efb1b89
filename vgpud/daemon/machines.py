# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The machines that are served now: each with a session process, which outlives this daemon."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import trio
from loguru import logger

from vgpud.config.machine_files import machine_folders
from vgpud.config.plain import to_plain
from vgpud.config.schema import Config
from vgpud.control.protocol import is_meant
from vgpud.daemon.events import Events
from vgpud.daemon.folder import Folder, bind_in
from vgpud.daemon.log_shares import LogShares
from vgpud.daemon.machine import Machine, MachineEnds, session_ends
from vgpud.daemon.readable import Readable
from vgpud.daemon.reports import described
from vgpud.daemon.spawner import Process, Spawner
from vgpud.link.credentials import peer_of
from vgpud.tree import codec
from vgpud.tree.links import BELL_BYTES, NewLinks
from vgpud.tree.messages import (
    DEVICE,
    SESSION,
    AdoptSession,
    CloseConnection,
    Ended,
    Forked,
    Meet,
    NotForked,
    Report,
    SetLogLevel,
    StartSession,
    UseSpawner,
)

STOP_SECONDS = 0.4
# A session that was forked a moment ago may not listen yet.
LISTENING_SECONDS = 0.5

Changed = Callable[[list[str]], None]


class Machines:
    """By number, in the order in which they connected.  ``folder`` is where sessions listen for the
    next daemon; None if there is no place for that.  ``on_change`` is given their names.
    """

    def __init__(
        self, first: Process, folder: Folder | None, on_change: Changed, shares: LogShares
    ) -> None:
        self.spawner = Spawner(first, self._take_report, self._share_spawner)
        self.events = Events()
        # The name of a machine whose VMM does not say one, and where machines' own files may be.
        self.called: Callable[[Config], str] = lambda config: ""
        self.folders: Sequence[Path] = ()
        self._folder = folder
        self._on_change = on_change
        self._served: dict[int, Machine] = {}
        self._number = 0
        self._shares = shares
        self._readable = Readable()
        self._nursery: trio.Nursery | None = None
        self._changed = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Never returns."""
        with closing(self._readable):
            await self._run_all(task_status)

    async def _run_all(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._readable.run)
            self._nursery.start_soon(self.spawner.run)
            self._nursery.start_soon(self.events.watch, self.reports)
            task_status.started()
            await trio.sleep_forever()

    def __iter__(self) -> Iterator[Machine]:
        return iter(list(self._served.values()))

    # --- one that connects

    def count(self, user: int | None = None) -> int:
        """How many are served, of that user's or of all."""
        return sum(machine.shown and user in (None, machine.user) for machine in self)

    @property
    def lines_left_out(self) -> int:
        """The log lines of all users' machines that were left out since this daemon started."""
        return self._shares.left_out

    def serve(self, frontend: socket.socket, config: Config, refusal: str = "") -> Machine:
        """Starts a session for a front-end, which takes the connection and serves or refuses it.
        ``OSError`` when there can be no session; then the connection stays the caller's.
        """
        number = self._number + 1
        return self._start(number, config, f"{number}, ", frontend, refusal)

    def serve_only(self, frontend: socket.socket, config: Config) -> Machine:
        """Likewise, for the only machine of a daemon that serves one."""
        return self._start(1, config, "", frontend)

    def try_renderer(self, config: Config) -> Machine:
        """A session without a front-end, which only reports on the renderer; once, before there are
        machines.
        """
        return self._start(0, config, "", None)

    def close_elsewhere(self, frontend: socket.socket, user: int) -> bool:
        """Whether a session of the same user takes a copy of that connection, to close whatever is
        in it.
        """
        for machine in self:
            if machine.user != user:
                continue
            with suppress(OSError):
                machine.order(CloseConnection(), [frontend.fileno()])
                return True
        return False

    def _start(
        self,
        number: int,
        config: Config,
        label: str,
        frontend: socket.socket | None,
        refusal: str = "",
    ) -> Machine:
        with NewLinks() as links:
            upper, lower = session_ends(links)
            meeting = [] if frontend is None else self._meeting(number, links)
            ends = [*lower, *meeting, *([frontend.fileno()] if frontend else [])]
            message = StartSession(
                number,
                frontend is not None,
                bool(meeting),
                to_plain(config),
                refusal,
                self.called(config),
                tuple(map(str, machine_folders(self.folders))),
            )
            self.spawner.tell(message, ends)
        self._number = max(self._number, number)
        machine = self._make(number, label, upper, message.config)
        machine.shown = frontend is not None and not refusal
        if frontend is not None:
            machine.sender, machine.user, _ = peer_of(frontend)
            frontend.close()
        self._add(machine)
        return machine

    def _make(self, number: int, label: str, ends: MachineEnds, config: str) -> Machine:
        # Most machines have the same configuration.
        config = sys.intern(config)
        return Machine(number, label, ends, self._shares, self._readable, config, self._take_hello)

    def _take_hello(self, machine: Machine, name: str) -> None:
        """Only the first name counts: what a session may be made to say later changes nothing."""
        if machine.greeted.is_set():
            return
        machine.called = self._unique(name, machine)
        if machine.shown and not machine.met:
            self.events.publish("connected", machine.name, user=machine.user)
        self._tell_change()

    def _unique(self, name: str, machine: Machine) -> str:
        """No VMM can give its machine another machine's name: only we add what follows a comma, and
        only we use a bare number.
        """
        name = name.replace(",", "_")
        taken = name.isdecimal() or any(one.called == name for one in self if one is not machine)
        return f"{name}, {machine.number}" if name and taken else name

    def _meeting(self, number: int, links: NewLinks) -> list[int]:
        if self._folder is None:
            return []
        self._folder.unlink(str(number))
        try:
            meeting = bind_in(self._folder, str(number), socket.SOCK_SEQPACKET)
        except OSError as error:
            # Somebody has removed the folder: the machine is still served.
            logger.warning("the next daemon will not find machine {}: {}", number, error)
            return []
        return [links.lend(meeting)]

    def _add(self, machine: Machine) -> None:
        self._served[machine.number] = machine
        self._tell_change()
        if self._nursery is not None:
            self._nursery.start_soon(self._run, machine)

    async def _run(self, machine: Machine) -> None:
        try:
            await machine.run()
        except Exception:
            logger.exception("machine {} is ended by a mistake in this program", machine.name)
            machine.kill()
        del self._served[machine.number]
        if machine.shown:
            ending = str(machine.ending) if machine.ending and machine.ending.signal else None
            self.events.publish("left", machine.name, ending=ending)
        if self._folder is not None:
            self._folder.unlink(str(machine.number))
        self._tell_change()

    async def changed(self) -> None:
        """Waits until there is one machine more, or one less."""
        await self._changed.wait()

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        self._on_change([machine.name for machine in self if machine.shown])

    # --- those of an earlier daemon

    async def meet(self, config: Config) -> None:
        """Takes over the sessions that an earlier daemon has left, and removes sockets whose
        sessions have gone.
        """
        if self._folder is None:
            return
        names = sorted(self._folder.names(), key=lambda name: (len(name), name))
        silent = [name for name in names if not self._meet(name, config)]
        if silent:
            await trio.sleep(LISTENING_SECONDS)
        for name in silent:
            if not self._meet(name, config):
                self._folder.unlink(name)

    def _meet(self, name: str, config: Config) -> bool:
        """False when nobody listens there."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
            end.setblocking(False)
            try:
                self._connect(end, name)
                self._take_over(int(name), end, config)
            except (OSError, ValueError) as error:
                logger.debug("no session at {}: {}", name, error)
                return False
        return True

    def _connect(self, end: socket.socket, name: str) -> None:
        if self._folder is not None:
            self._folder.connect(end, name)

    def _take_over(self, number: int, end: socket.socket, config: Config) -> None:
        with NewLinks() as links:
            upper, (orders, reports, log, _) = session_ends(links)
            codec.send(end, Meet(config.log.level), [orders, reports, log])
        machine = self._make(number, f"{number}, ", upper, to_plain(config))
        machine.met = True
        machine.process.note(peer_of(end).process)
        self._number = max(self._number, number)
        self._add(machine)
        self._share_spawner_with(machine)
        logger.info("machine {} of an earlier daemon is served on", number)

    # --- the spawner

    def _take_report(self, message: Forked | NotForked | Ended) -> None:
        machine = self._served.get(message.machine)
        if machine is None:
            return
        if not isinstance(message, NotForked):
            machine.note(message)
            if message.kind == DEVICE:
                self.events.look_soon()
            return
        reason = os.strerror(message.error)
        logger.bind(session=machine.name).error(
            "there can be no {} process: {}", message.kind, reason
        )
        if message.kind == SESSION:
            machine.process.give_up()

    def _share_spawner(self) -> None:
        """There is another spawner: sessions must ask it for device processes."""
        for machine in self:
            self._share_spawner_with(machine)

    def _share_spawner_with(self, machine: Machine) -> None:
        try:
            with NewLinks() as links:
                grants, their_grants = links.orders()
                wishes, their_wishes = links.reports(BELL_BYTES)
                links.keep_nothing()
                ends = [grants.fileno(), wishes, machine.ends.device_log]
                self.spawner.tell(AdoptSession(machine.number, machine.config), ends)
                machine.order(UseSpawner(), [their_grants, their_wishes])
        except OSError as error:
            logger.bind(session=machine.name).error("it has no spawner: {}", error)

    # --- for vgpuctl

    def find(self, name: str | None) -> Machine | None:
        """The machine with this name, the name's beginning up to the comma, or this number; without
        a name the first.
        """
        for machine in self:
            if machine.shown and (name is None or is_meant(machine.name, machine.number, name)):
                return machine
        return None

    async def reports(self) -> list[dict[str, Any]]:
        """A report of each machine, for JSON; a short one for those that do not answer in time."""
        shown = [machine for machine in self if machine.shown]
        found: dict[int, Report | None] = {}

        async def ask(machine: Machine) -> None:
            found[machine.number] = await machine.report()

        async with trio.open_nursery() as nursery:
            for machine in shown:
                nursery.start_soon(ask, machine)
        return [described(machine, found[machine.number]) for machine in shown]

    def set_log_level(self, level: str) -> None:
        for machine in self:
            with suppress(OSError):
                machine.order(SetLogLevel(level))

    # --- the end

    async def stop(self) -> None:
        """Ends all that can be ended, and waits for that; for nothing else."""
        for machine in self:
            machine.stop()
        with trio.move_on_after(STOP_SECONDS):
            while self._served:
                await self._changed.wait()
        for machine in self:
            machine.kill()
            if self._folder is not None:
                self._folder.unlink(str(machine.number))
        await self.spawner.stop()
