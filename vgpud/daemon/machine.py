# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One machine as the daemon knows it: its session process, and our ends of the links to that."""

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import trio
from loguru import logger

from vgpud.control.protocol import ControlError
from vgpud.daemon.helpers import Helpers
from vgpud.daemon.log_shares import LogShares
from vgpud.daemon.process_log import RecordRelay, Relay, TextRelay, device_names
from vgpud.daemon.questions import AnswerType, Questions
from vgpud.daemon.readable import Readable
from vgpud.daemon.session_process import SessionProcess
from vgpud.link.fields import LinkError
from vgpud.tree import codec
from vgpud.tree.links import NewLinks
from vgpud.tree.messages import (
    DEVICE,
    FROM_SESSION,
    RENDER_SERVER,
    SESSION,
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
from vgpud.tree.process import Ending

READ_BYTES = 16 * 1024
# How long the output of a process that has ended is still read: another process may hold the pipe
# open.
LAST_WORDS_SECONDS = 0.2

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
        self.process = SessionProcess()
        self.tried: Tried | NotTried | None = None
        self.ended = trio.Event()
        self._label = label
        self._on_hello = on_hello
        self._shares = shares
        self._readable = readable
        self._since = time.monotonic()
        self._helpers = Helpers(readable, self)
        self._pipes: dict[int, Relay | _Words] = {}
        self._silent = trio.Event()
        self._failure: Exception | None = None
        self._nursery: trio.Nursery | None = None
        self._sender_pidfd: int | None = None
        self._watching: trio.CancelScope | None = None
        self._questions = Questions()
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
    def ending(self) -> Ending | None:
        """How its session process has ended, if somebody has seen that."""
        return self.process.ending

    @property
    def device_pid(self) -> int:
        """Its device process, from the spawner; 0 when there is none."""
        return self._helpers.last(DEVICE)

    @property
    def server_pid(self) -> int:
        """Its render server, likewise."""
        return self._helpers.last(RENDER_SERVER)

    # --- its life

    async def run(self) -> None:
        """Until its session process has ended and all has been read."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._listen(self._nursery)
                await self._wait_for_end()
                self._unwatch_sender()
                self._helpers.end()
                self._nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS_SECONDS
                await self._silent.wait()
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure
        if self.ending is not None and self.ending.signal:
            logger.bind(session=self.name).error("its session has ended with {}", self.ending)
        self.ended.set()

    def _listen(self, nursery: trio.Nursery) -> None:
        self._pipes = {
            self.ends.reports: _Words(self),
            self.ends.log: RecordRelay(self),
            self.ends.devices: TextRelay(self, self._device_names),
        }
        for pipe in self._pipes:
            self._readable.add(pipe, self)
        # The VMM may leave it hanging before it has said whom it serves.
        self._watch_sender(self.sender)
        # The spawner may have been quicker than this task.
        self._helpers.watch(nursery)

    def on_readable(self, descriptor: int) -> None:
        """One of its pipes, or its VMM has ended."""
        if descriptor in self._pipes:
            self._read(descriptor)
        else:
            self._note_sender_s_end()

    def on_failure(self, error: Exception) -> None:
        """A mistake of this program, found by what the machine said; it ends the machine alone."""
        self._failure = error
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # --- its pipes

    def _read(self, pipe: int) -> None:
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._pipes[pipe].feed(data)
        else:
            self._end_pipe(pipe)

    def _end_pipe(self, pipe: int) -> None:
        self._readable.remove(pipe)
        os.close(pipe)
        self._pipes.pop(pipe).finish()
        self._look_whether_silent()

    def on_helper_end(self) -> None:
        """One of its processes has ended."""
        self._look_whether_silent()

    def _look_whether_silent(self) -> None:
        if not self._pipes and not self._helpers:
            self._silent.set()

    def _device_names(self) -> dict[str, Any]:
        return device_names(self.device_pid)

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
            await self.process.wait()
        finally:
            # Until now ours kept it open, for the next device process.
            os.close(self.ends.device_log)

    def note(self, message: Forked | Ended) -> None:
        """Takes what the spawner says of one of its processes."""
        if isinstance(message, Forked):
            with suppress(OSError):
                if message.kind in Helpers.KINDS:
                    self._helpers.note(message.kind, message.pid)
                else:
                    self.process.note(message.pid)
        elif message.kind == SESSION:
            self.process.note_ending(Ending(message.code, message.signal, message.out_of_memory))

    def kill(self) -> None:
        """The session and what belongs to it."""
        self.process.kill()
        self._helpers.end()

    def _close(self) -> None:
        self._unwatch_sender()
        self._helpers.close()
        for pipe in list(self._pipes):
            self._end_pipe(pipe)
        self.ends.orders.close()
        self.process.close()
        self._questions.close()

    # --- what it says

    def break_off(self, error: LinkError) -> None:
        """It has said what it may not say."""
        logger.bind(session=self.name).error("its session breaks the rules: {}", error)
        self.kill()
        self._end_pipe(self.ends.reports)

    def fall_silent(self) -> None:
        """It says nothing any more."""
        if not self.process.known:
            # The spawner has died with it, or before it could say which process this is.
            self.process.give_up()

    def take(self, message: Any) -> None:
        """One of its messages; ``LinkError`` when it may not send that."""
        if isinstance(message, Report | Pong):
            self._questions.take(message)
            return
        self._questions.count_unasked()
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
        asked = self._questions.begin()
        try:
            self.order(question(asked.serial))
            await asked.wait()
        except OSError:
            return None
        finally:
            self._questions.end(asked)
        if asked.answer is None:
            self._questions.allow_late_answer()
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
        self._readable.add(pidfd, self)

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


class _Words:
    """What a session says, from its pipe."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._lines = codec.Lines()

    def feed(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._machine.take(codec.decode(line, FROM_SESSION))
        except LinkError as error:
            self._machine.break_off(error)

    def finish(self) -> None:
        self._machine.fall_silent()
