# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The spawner as the daemon sees it: started, asked for signs of life, and replaced when it has
died.
"""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio
from loguru import logger

from vgpud.daemon.process_log import TextRelay, Unlimited, relay
from vgpud.link.fields import LinkError
from vgpud.spawner.children import fork
from vgpud.spawner.prepared import prepare
from vgpud.spawner.spawner import serve_forked
from vgpud.tree import codec
from vgpud.tree.links import NewLinks
from vgpud.tree.messages import FROM_SPAWNER, Ping, Pong, Stop
from vgpud.tree.process import kill, reap

PING_SECONDS = 5.0
# A fork takes milliseconds, but the host may be busy.
ANSWER_SECONDS = 10.0
# The first answer of one that is executed, and imports everything before: where processors are emulated, that takes 20 seconds.
BEGIN_SECONDS = 60.0
# The pause between a spawner that died and the next, in case they die at once.
AGAIN_SECONDS = 0.5
SOUND_SECONDS = 10.0
END_SECONDS = 0.3
READ_BYTES = 64 * 1024


class Process:
    """One spawner, and our ends of its links, which belong to this."""

    def __init__(self, pid: int, orders: socket.socket, reports: int, log: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.orders = orders
        self.reports = reports
        self.log = log

    def close(self) -> None:
        """Closes the ends, but not the pipes: their readers close those."""
        self.orders.close()
        os.close(self.pidfd)


def fork_process() -> Process:
    """The first one, before there is an event loop: it shares with the daemon the memory of what both have
    imported, half of what a daemon for one machine takes.
    """
    prepare()
    with NewLinks() as links:
        orders, their_orders = links.orders()
        (reports, their_reports), (log, their_log) = links.reports(), links.reports()
        work = partial(serve_forked, their_orders, their_reports)
        child = fork(0, "spawner", their_log, (their_orders, their_reports), work)
        os.close(child.pidfd)
        return Process(child.pid, orders, reports, log)


def start_process() -> Process:
    """A later spawner; ``OSError`` when there cannot be one."""
    with NewLinks() as links:
        orders, their_orders = links.orders()
        (reports, their_reports), (log, their_log) = links.reports(), links.reports()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "vgpud.spawner", str(their_orders), str(their_reports)],
            dict(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, their_log, 2),
                # A duplicate onto itself stays open.
                (os.POSIX_SPAWN_DUP2, their_orders, their_orders),
                (os.POSIX_SPAWN_DUP2, their_reports, their_reports),
            ],
            # Until it calls leave_job().
            setpgroup=0,
        )
        return Process(pid, orders, reports, log)


class Spawner:
    """``on_report`` gets what a spawner reports, ``on_new`` is called when there is another
    spawner.
    """

    def __init__(
        self, first: Process, on_report: Callable[[Any], None], on_new: Callable[[], None]
    ) -> None:
        self._first: Process | None = first
        self._on_report = on_report
        self._on_new = on_new
        self._process: Process | None = None
        self._answered = 0
        self._come = trio.Event()
        self._gone = trio.Event()
        self._stopping = False
        self._dying: list[int] = []

    async def run(self) -> None:
        """One spawner after another, until it is stopped."""
        while not self._stopping:
            begin = trio.current_time()
            try:
                process, self._first = self._first or start_process(), None
            except OSError as error:
                logger.error("no spawner can be started: {}", error)
            else:
                await self._serve(process)
            if trio.current_time() - begin < SOUND_SECONDS:
                await trio.sleep(AGAIN_SECONDS)

    async def _serve(self, process: Process) -> None:
        logger.debug("spawner {}", process.pid)
        self._process = process
        self._gone = trio.Event()
        self._come.set()
        self._on_new()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(relay, process.log, TextRelay(Unlimited("the spawner")))
                nursery.start_soon(self._watch, process)
                try:
                    await self._read(process)
                except LinkError as error:
                    logger.error("the spawner breaks the rules: {}", error)
                nursery.cancel_scope.cancel()
        finally:
            self._process = None
            self._come = trio.Event()
            self._gone.set()
            kill(process.pidfd)
            with trio.move_on_after(END_SECONDS, shield=True):
                await trio.lowlevel.wait_readable(process.pidfd)
            ending = reap(process.pidfd)
            if ending is None:
                self._dying.append(os.dup(process.pidfd))
            process.close()
        if not self._stopping:
            logger.error(
                "the spawner has ended with {}; machines go on", ending or "an unknown status"
            )

    async def _read(self, process: Process) -> None:
        lines = codec.Lines()
        async with trio.lowlevel.FdStream(process.reports) as pipe:
            while data := await pipe.receive_some(READ_BYTES):
                for line in lines.feed(data):
                    self._take(codec.decode(line, FROM_SPAWNER))

    def _take(self, message: Any) -> None:
        if isinstance(message, Pong):
            self._answered = message.serial
        else:
            self._on_report(message)

    async def _watch(self, process: Process) -> None:
        """Kills a spawner that hangs: its successor serves new machines, and running ones do not
        notice.
        """
        serial = 0
        while True:
            self._reap_late()
            serial += 1
            self._answered = 0
            try:
                codec.send(process.orders, Ping(serial))
            except BlockingIOError:
                pass  # then it has not answered the previous order either
            except OSError:
                return
            with trio.move_on_after(BEGIN_SECONDS if serial == 1 else ANSWER_SECONDS):
                while self._answered != serial:
                    await trio.sleep(PING_SECONDS)
            if self._answered != serial:
                logger.error("the spawner does not answer")
                kill(process.pidfd)
                return
            await trio.sleep(PING_SECONDS)

    def _reap_late(self) -> None:
        """Reaps earlier ones that hung in the kernel when they were killed."""
        for pidfd in list(self._dying):
            if reap(pidfd) is not None:
                os.close(pidfd)
                self._dying.remove(pidfd)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def ready(self) -> None:
        """Waits until there is a spawner that can take orders."""
        while self._process is None:
            await self._come.wait()

    def tell(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Sends an order; ``OSError`` when there is no spawner, or it does not take it."""
        if self._process is None:
            raise BrokenPipeError("there is no spawner")
        codec.send(self._process.orders, message, descriptors)

    async def stop(self) -> None:
        """Ends the spawner and all that it has forked."""
        process = self._process
        self._stopping = True
        if process is None:
            return
        try:
            codec.send(process.orders, Stop())
        except OSError:
            kill(process.pidfd)
        with trio.move_on_after(END_SECONDS):
            await self._gone.wait()
            return
        kill(process.pidfd)
