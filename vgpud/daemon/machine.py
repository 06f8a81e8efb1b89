# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One machine as the daemon knows it: its session process, and our ends of the links to that."""

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import trio
from loguru import logger

from vgpud.control.protocol import ControlError
from vgpud.daemon.log_shares import LogShares
from vgpud.daemon.process_log import device_names, record_relay, text_relay
from vgpud.daemon.readable import Readable
from vgpud.link.fields import LinkError
from vgpud.tree import codec
from vgpud.tree.links import NewLinks
from vgpud.tree.messages import (
    DEVICE,
    FROM_SESSION,
    RENDER_SERVER,
    SESSION,
    VIEW,
    AskReport,
    Ended,
    Forked,
    Hello,
    NotTried,
    Ping,
    Pong,
    Report,
    ServeClient,
    Stop,
    Tried,
)
from vgpud.tree.process import Ending, end_group, kill, reap, reap_group

ANSWER_SECONDS = 1.0
READ_BYTES = 16 * 1024
# A session sends a few lines unasked in its whole life.
UNASKED_MAX = 16
# How long the output of a process that has ended is still read: another process may hold the pipe
# open.
LAST_WORDS_SECONDS = 0.2
# How long the spawner may take to tell how a process ended, on a busy host.
REAPED_SECONDS = 2.0

# After the end of a VMM its session ends on its own; one that does not even answer is killed after
# this.
ALONE_SECONDS = 5.0
AGAIN_SECONDS = 0.1

# PID_MAX_LIMIT of Linux: no process has a larger number.
PROCESS_MAX = 1 << 22

# Of the machine's name that a session sends; an honest session cuts it shorter.
NAME_MAX = 128

# The user of an earlier daemon's machine, until its session says whose it is.
UNKNOWN_USER = -1

AnswerType = TypeVar("AnswerType", Report, Pong)


class MachineEnds(NamedTuple):
    """The daemon's ends of a session's links.  ``devices`` is where the log of its device processes
    is read, ``device_log`` is what they get as standard error.
    """

    orders: socket.socket
    reports: int
    log: int
    devices: int
    device_log: int


def session_ends(links: NewLinks) -> tuple[MachineEnds, list[int]]:
    """Links for a session, and the ends that it gets: orders, reports, log, log of its device
    processes.
    """
    orders, their_orders = links.orders()
    (reports, their_reports), (log, their_log) = links.reports(), links.reports()
    devices, device_log = links.reports(keep=True)
    lower = [their_orders, their_reports, their_log, device_log]
    return MachineEnds(orders, reports, log, devices, device_log), lower


class Machine:
    """Owns its ends; ``number`` is unique among the machines of this daemon and of earlier ones.
    ``label`` begins its name while it has none of its own (``called``): a daemon for one machine needs
    no number.  ``config`` is the text of config.plain.  ``on_hello`` is given the name that the session
    sends, and sets ``called``.
    """

    def __init__(
        self,
        number: int,
        label: str,
        ends: MachineEnds,
        shares: LogShares,
        readable: Readable,
        config: str,
        on_hello: Callable[["Machine", str], None] = lambda machine, name: None,
    ) -> None:
        self.number = number
        self.ends = ends
        self.config = config
        self.shown = True
        self.met = False  # a machine of an earlier daemon
        self.called = ""
        self.greeted = trio.Event()
        self.sender = 0
        self.user = UNKNOWN_USER
        self.pid = 0
        self.pidfd: int | None = None
        self.tried: Tried | NotTried | None = None
        self.ending: Ending | None = None
        self.ended = trio.Event()
        self._label = label
        self._on_hello = on_hello
        self._shares = shares
        self._readable = readable
        self._since = time.monotonic()
        self._forked = trio.Event()
        self._reaped = trio.Event()
        # The pidfds of its processes other than the session, by pid.
        self._helpers: dict[str, dict[int, int]] = {DEVICE: {}, RENDER_SERVER: {}, VIEW: {}}
        self._pipes: dict[int, Callable[[], None]] = {}  # what is to be done at its end
        self._silent = trio.Event()
        self._failure: Exception | None = None
        self._nursery: trio.Nursery | None = None
        self._sender_pidfd: int | None = None
        self._watching: trio.CancelScope | None = None
        self._serial = 0
        self._asked: dict[int, _Asked] = {}
        self._unasked = 0
        self.lines_left_out = 0

    @property
    def name(self) -> str:
        """Its name in the log and in vgpuctl."""
        return self.called or f"{self._label}process {self.sender}"

    @property
    def lasting_name(self) -> str:
        """A name that it has at its next start too, if possible."""
        return self.called or str(self.number)

    @property
    def seconds(self) -> float:
        """Since it connected."""
        return time.monotonic() - self._since

    @property
    def device_pid(self) -> int:
        """Its device process, from the spawner; 0 when there is none."""
        return next(reversed(self._helpers[DEVICE]), 0)

    @property
    def server_pid(self) -> int:
        """Its render server, likewise."""
        return next(reversed(self._helpers[RENDER_SERVER]), 0)

    # --- its life

    async def run(self) -> None:
        """Until its session process has ended and all has been read."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._listen()
                await self._wait_for_end()
                self._unwatch_sender()
                self._end_helpers(*self._helpers)
                self._nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS_SECONDS
                await self._silent.wait()
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure
        if self.ending is not None and self.ending.signal:
            logger.bind(session=self.name).error("its session has ended with {}", self.ending)
        self.ended.set()

    def _listen(self) -> None:
        lines = codec.Lines()
        names = device_names(lambda: next(reversed(self._helpers[DEVICE]), None))
        log = record_relay(lambda: self.name, self)
        devices = text_relay(lambda: self.name, names, self)
        self._add_pipe(self.ends.reports, lambda data: self._take_lines(lines, data), self._forget)
        self._add_pipe(self.ends.log, log.feed, log.finish)
        self._add_pipe(self.ends.devices, devices.feed, devices.finish)
        # The VMM may leave it hanging before it has said whom it serves.
        self._watch_sender(self.sender)
        # The spawner may have been quicker than this task.
        for kind, helpers in self._helpers.items():
            for pid in helpers:
                self._watch_helper(kind, pid)

    def _fail(self, error: Exception) -> None:
        """A mistake of this program, found by what the machine said; it ends the machine alone."""
        self._failure = error
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # --- its pipes

    def _add_pipe(
        self, pipe: int, take: Callable[[bytes], None], finish: Callable[[], None]
    ) -> None:
        self._pipes[pipe] = finish
        self._readable.add(pipe, lambda: self._read(pipe, take), self._fail)

    def _read(self, pipe: int, take: Callable[[bytes], None]) -> None:
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            take(data)
        else:
            self._end_pipe(pipe)

    def _end_pipe(self, pipe: int) -> None:
        self._readable.remove(pipe)
        os.close(pipe)
        self._pipes.pop(pipe)()
        self._look_whether_silent()

    def _look_whether_silent(self) -> None:
        if not self._pipes and not any(self._helpers.values()):
            self._silent.set()

    def may_say(self) -> bool:
        """Whether there may be one more line of it in the log."""
        allowed = self._shares.allows(self.user)
        self.lines_left_out += not allowed
        return allowed

    def note_left_out(self) -> None:
        """Counts a line of it that was not logged."""
        self.lines_left_out += 1

    async def _wait_for_end(self) -> None:
        try:
            await self._wait_for_session()
        finally:
            # Until now ours kept it open, for the next device process.
            os.close(self.ends.device_log)

    async def _wait_for_session(self) -> None:
        await self._forked.wait()
        if self.pidfd is None:
            return
        await trio.lowlevel.wait_readable(self.pidfd)
        # It is the child of an earlier daemon's spawner: nobody tells us how it ended.
        self.ending = self.ending or reap(self.pidfd)
        if self.ending is None:
            with trio.move_on_after(REAPED_SECONDS):
                await self._reaped.wait()

    def is_process(self, pid: int) -> None:
        """Notes its session process; ``OSError`` when that has ended already."""
        self.pid = pid
        try:
            self.pidfd = os.pidfd_open(pid)
        finally:
            self._forked.set()

    def give_up(self) -> None:
        """Notes that there will be no session process, or none that we know."""
        self._forked.set()

    def note(self, message: Forked | Ended) -> None:
        """Takes what the spawner says of one of its processes."""
        if isinstance(message, Forked):
            with suppress(OSError):
                if message.kind in self._helpers:
                    self._note_helper(message.kind, message.pid)
                else:
                    self.is_process(message.pid)
        elif message.kind == SESSION:
            self.ending = Ending(message.code, message.signal, message.out_of_memory)
            self._reaped.set()

    def _note_helper(self, kind: str, pid: int) -> None:
        if kind != VIEW:
            # A machine has one device process.  An earlier spawner's, which that cannot end any
            # more, is ended here.
            self._end_helpers(kind)
        self._helpers[kind][pid] = os.pidfd_open(pid)
        if self._nursery is not None:
            self._watch_helper(kind, pid)

    def _watch_helper(self, kind: str, pid: int) -> None:
        pidfd = self._helpers[kind][pid]
        self._readable.add(pidfd, lambda: self._note_helper_s_end(kind, pid), self._fail)

    def _note_helper_s_end(self, kind: str, pid: int) -> None:
        self._forget_helper(kind, pid)
        if kind == RENDER_SERVER and self._nursery is not None:
            self._nursery.start_soon(self._reap_workers, pid)
        self._look_whether_silent()

    def _forget_helper(self, kind: str, pid: int) -> None:
        pidfd = self._helpers[kind].pop(pid)
        self._readable.remove(pidfd)
        # It is our child when its spawner has died before it.
        reap(pidfd)
        os.close(pidfd)
        if kind == RENDER_SERVER:
            end_group(pid)

    async def _reap_workers(self, group: int) -> None:
        """Workers are the spawner's children when their server has died; ours, when the spawner has
        died too.
        """
        with trio.move_on_after(REAPED_SECONDS):
            while not reap_group(group):
                await trio.sleep(AGAIN_SECONDS)

    def _end_helpers(self, *kinds: str) -> None:
        for kind in kinds:
            for pid, pidfd in self._helpers[kind].items():
                kill(pidfd)
                if kind == RENDER_SERVER:
                    end_group(pid)

    def kill(self) -> None:
        """The session and what belongs to it."""
        if self.pidfd is not None:
            kill(self.pidfd)
        self._end_helpers(*self._helpers)

    def _close(self) -> None:
        self._unwatch_sender()
        for kind, helpers in self._helpers.items():
            for pid in list(helpers):
                self._forget_helper(kind, pid)
        for pipe in list(self._pipes):
            self._end_pipe(pipe)
        self.ends.orders.close()
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        for asked in self._asked.values():
            asked.arrived.set()

    # --- what it says

    def _take_lines(self, lines: codec.Lines, data: bytes) -> None:
        try:
            for line in lines.feed(data):
                self._take(codec.decode(line, FROM_SESSION))
        except LinkError as error:
            logger.bind(session=self.name).error("its session breaks the rules: {}", error)
            self.kill()
            self._end_pipe(self.ends.reports)

    def _forget(self) -> None:
        """It says nothing any more."""
        if self.pidfd is None:
            # The spawner has died with it, or before it could say which process this is.
            self.give_up()

    def _take(self, message: Any) -> None:
        if isinstance(message, Report | Pong):
            asked = self._asked.pop(message.serial, None)
            if asked is not None:
                asked.answer = message
                asked.arrived.set()
                return
        self._unasked += 1
        if self._unasked > UNASKED_MAX:
            raise LinkError("it sends more than it was asked for")
        if isinstance(message, Hello):
            if message.sender > PROCESS_MAX:
                raise LinkError(f"no process has the number {message.sender}")
            self._watch_sender(message.sender)
            self.sender = message.sender or self.sender
            if self.user == UNKNOWN_USER:
                self.user = message.user
            self._since = time.monotonic() - message.milliseconds / 1000
            self._on_hello(self, message.name[:NAME_MAX])
            self.greeted.set()
        elif isinstance(message, Tried | NotTried):
            self.tried = message

    # --- what it is told

    def order(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Sends an order; ``OSError`` when the session does not take it."""
        codec.send(self.ends.orders, message, descriptors)

    async def report(self) -> Report | None:
        """Asks the session for its report; None when it does not answer in time."""
        return await self._ask(AskReport, Report)

    async def _ask(
        self, question: type[AskReport] | type[Ping], answer: type[AnswerType]
    ) -> AnswerType | None:
        self._serial += 1
        serial = self._serial
        asked = self._asked[serial] = _Asked()
        try:
            self.order(question(serial))
            with trio.move_on_after(ANSWER_SECONDS):
                await asked.arrived.wait()
        except OSError:
            return None
        finally:
            self._asked.pop(serial, None)
        # A late answer is not used, but does not count as unasked either.
        self._unasked -= asked.answer is None
        return asked.answer if isinstance(asked.answer, answer) else None

    async def hand_down(self, connection: int, request: str) -> None:
        """Passes on a copy of a client's connection, with its request; ``ControlError`` when the
        session does not answer.
        """
        try:
            if await self._ask(Ping, Pong) is not None:
                self.order(ServeClient(request), [connection])
                return
        except OSError as error:
            logger.debug("{}: {}", self.name, error)
        raise ControlError(f"machine {self.name} does not answer")

    # --- when its VMM has ended

    def _watch_sender(self, sender: int) -> None:
        if not sender or self._nursery is None:
            return
        self._unwatch_sender()
        try:
            pidfd = self._sender_pidfd = os.pidfd_open(sender)
        except OSError as error:
            if error.errno == errno.ESRCH:
                self._note_sender_s_end()
            return
        self._readable.add(pidfd, self._note_sender_s_end, self._fail)

    def _unwatch_sender(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._sender_pidfd is not None:
            self._readable.remove(self._sender_pidfd)
            os.close(self._sender_pidfd)
            self._sender_pidfd = None

    def _note_sender_s_end(self) -> None:
        self._unwatch_sender()
        if self._nursery is not None:
            self._watching = trio.CancelScope()
            self._nursery.start_soon(self._end_without_vmm, self._watching)

    async def _end_without_vmm(self, watching: trio.CancelScope) -> None:
        """Kills a session that the VMM has left hanging, for example in an eventfd that nobody
        reads any more.
        """
        with watching:
            with trio.move_on_after(ALONE_SECONDS):
                while await self._ask(Ping, Pong) is None:
                    await trio.sleep(AGAIN_SECONDS)
                # It is up to the session to see whether another process goes on with the
                # connection.
                return
            name = logger.bind(session=self.name)
            name.error("its VMM has ended, and its session does not answer")
            self.kill()

    def stop(self) -> None:
        """Asks it to end."""
        try:
            self.order(Stop())
        except OSError:
            self.kill()


class _Asked:
    def __init__(self) -> None:
        self.arrived = trio.Event()
        self.answer: Report | Pong | None = None
