# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Device and view processes as a session has them: it asks the spawner for them, speaks to them
over links, and ends them.
"""

import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Protocol, TypeVar

import trio

from vgpud.link import rights
from vgpud.link.fields import LinkError
from vgpud.link.trio_connection import TrioConnection
from vgpud.tree import codec
from vgpud.tree.messages import (
    GRANTS,
    DeviceEnded,
    DeviceNotStarted,
    DeviceStarted,
    ServerEnded,
    ServerNotStarted,
    ServerStarted,
    ViewNotStarted,
    ViewStarted,
)
from vgpud.tree.process import Ending
from vgpud.tree.wishes import (
    WISH_DEVICE,
    WISH_END,
    WISH_END_VIEWS,
    WISH_SERVER,
    WISH_SERVER_END,
    WISH_VIEW,
    WISH_VULKAN,
    worker_end,
)

# How long a process may take to end on its own when its link is closed: after SIGTERM all of this
# must end within a second.
GRACE_SECONDS = 0.3
# How long the spawner may take to report the end of a process that was killed.
REAPED_SECONDS = 1.0
# How long to wait for the successor of a spawner that has died, and for a spawner's answer.
SPAWNER_SECONDS = 3.0


class Life(Protocol):
    """What keeps a device process alive, and ends it."""

    async def ended(self) -> Ending | None:
        """How it ended, once it has; None when nobody has seen it."""
        ...

    async def start_server(self) -> None:
        """Its render server; ``OSError`` when there can be none."""
        ...

    async def server_started(self) -> None:
        """Returns once it has one."""
        ...

    async def server_ended(self) -> str:
        """How its render server ended, once it has; never returns where it has none."""
        ...

    def kill(self) -> None: ...

    def kill_worker(self, ctx_id: int) -> None: ...

    def kill_server(self) -> None: ...


class DeviceProcess:
    """``link`` is the link to it, which nobody reads before its ``run`` is called."""

    def __init__(self, pid: int, link: TrioConnection, life: Life) -> None:
        self.pid = pid
        self.link = link
        self._life = life

    def kill(self) -> None:
        """Kills a process that does not answer: its link then ends."""
        self._life.kill()

    async def ended(self) -> Ending | None:
        """How it ended, once it has; None when nobody has seen it."""
        return await self._life.ended()

    async def start_server(self) -> None:
        """Called once; ``OSError`` when it has no render server, and never will."""
        await self._life.start_server()

    async def server_started(self) -> None:
        """Returns once it has one."""
        await self._life.server_started()

    async def server_ended(self) -> str:
        """How its render server ended, once it has; never returns if it has none."""
        return await self._life.server_ended()

    def kill_worker(self, ctx_id: int) -> None:
        """Kills the worker of one context."""
        self._life.kill_worker(ctx_id)

    def kill_server(self) -> None:
        """Kills the render server and all its workers."""
        self._life.kill_server()


async def has_server(process: DeviceProcess) -> bool:
    """Starts its render server, if there can be one: whoever needs it reports what is missing."""
    try:
        await process.start_server()
    except OSError:
        return False
    return True


class ViewProcess(NamedTuple):
    """Its owner owns both descriptors.  Closing ``life`` ends the process."""

    pid: int
    channel: socket.socket
    life: int


class Devices(Protocol):
    """Where device processes come from, which may have a render server if ``vulkan`` is to be drawn; ``OSError`` when there
    can be none.
    """

    async def start(self, vulkan: bool) -> DeviceProcess: ...


@asynccontextmanager
async def device_process(devices: Devices, vulkan: bool) -> AsyncIterator[DeviceProcess]:
    """A device process; when the context ends it has ended, and its link is closed."""
    # Shielded, or there could be a process that nobody knows of.
    with trio.CancelScope(shield=True):
        process = await devices.start(vulkan)
    try:
        yield process
    finally:
        process.link.close()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(GRACE_SECONDS):
                await process.ended()
            process.kill()
            with trio.move_on_after(REAPED_SECONDS):
                await process.ended()


_Server = ServerStarted | ServerNotStarted | ServerEnded
_Grant = DeviceStarted | DeviceNotStarted | DeviceEnded | _Server | ViewStarted | ViewNotStarted


class Spawner:
    """One spawner's ends of grants and wishes, which belong to this; ``run`` reads the grants."""

    def __init__(self, grants: socket.socket, wishes: int) -> None:
        self._grants = trio.socket.from_stdlib_socket(grants)
        self._wishes = wishes
        self._answers, self._answered = trio.open_memory_channel[DeviceProcess | DeviceNotStarted](
            1
        )
        self._views, self._viewed = trio.open_memory_channel[ViewProcess | ViewNotStarted](1)
        self._forked: dict[int, _Forked] = {}
        self.alive = True

    async def run(self) -> None:
        """Reads grants until the spawner has gone."""
        try:
            while received := await self._receive():
                message, descriptors = received
                if isinstance(message, DeviceEnded):
                    self._note_end(message)
                elif isinstance(message, ServerStarted | ServerNotStarted):
                    self._answer_server(message, descriptors)
                elif isinstance(message, ServerEnded):
                    self._note_server_end(message)
                elif isinstance(message, ViewStarted | ViewNotStarted):
                    self._answer_viewer(message, descriptors)
                else:
                    self._answer(message, descriptors)
        finally:
            self.alive = False
            self._answers.close()
            self._views.close()
            for forked in self._forked.values():
                forked.lost()
            self._grants.close()
            os.close(self._wishes)

    async def _receive(
        self,
    ) -> tuple[_Grant, list[int]] | None:
        try:
            packet = await self._grants.recvmsg(
                codec.PACKET_BYTES,
                codec.ANCILLARY_BYTES,
                socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT,
            )
        except ConnectionResetError:
            return None
        return codec.read_packet(packet, GRANTS)

    def _answer(self, message: DeviceStarted | DeviceNotStarted, descriptors: list[int]) -> None:
        answer: DeviceProcess | DeviceNotStarted
        if isinstance(message, DeviceStarted):
            link, life = descriptors
            # Noted before its end can be reported.
            forked = self._forked[message.pid] = _Forked(self, life)
            connection = TrioConnection(socket.socket(fileno=link))
            answer = DeviceProcess(message.pid, connection, forked)
        else:
            answer = message
        try:
            self._answers.send_nowait(answer)
        except trio.WouldBlock:
            # Whoever asked for it has given up.
            if isinstance(answer, DeviceProcess):
                answer.kill()
                answer.link.close()

    def _answer_viewer(self, message: ViewStarted | ViewNotStarted, descriptors: list[int]) -> None:
        answer: ViewProcess | ViewNotStarted
        if isinstance(message, ViewStarted):
            channel, life = descriptors
            answer = ViewProcess(message.pid, socket.socket(fileno=channel), life)
        else:
            answer = message
        try:
            self._views.send_nowait(answer)
        except trio.WouldBlock:
            if isinstance(answer, ViewProcess):
                answer.channel.close()
                os.close(answer.life)

    def _note_end(self, message: DeviceEnded) -> None:
        forked = self._forked.pop(message.pid, None)
        if forked is not None:
            forked.note(Ending(message.code, message.signal, message.out_of_memory))

    def _answer_server(
        self, message: ServerStarted | ServerNotStarted, descriptors: list[int]
    ) -> None:
        forked = self._forked.get(message.device)
        if forked is None:
            rights.close(descriptors)
        elif isinstance(message, ServerStarted):
            forked.note_server_start(message.pid, descriptors[0])
        else:
            forked.note_no_server(message.error)

    def _note_server_end(self, message: ServerEnded) -> None:
        for forked in self._forked.values():
            if forked.server == message.pid:
                forked.note_server(Ending(message.code, message.signal, message.out_of_memory))

    def wish(self, wish: bytes) -> None:
        """Sends a wish; ``BrokenPipeError`` when the spawner has gone."""
        if not self.alive:
            raise BrokenPipeError
        with suppress(BlockingIOError):
            os.write(self._wishes, wish)

    async def start(self, vulkan: bool) -> DeviceProcess:
        """``OSError``; ``trio.EndOfChannel`` when the spawner has gone in between."""
        self.wish(WISH_VULKAN if vulkan else WISH_DEVICE)
        answer = await self._answered.receive()
        if isinstance(answer, DeviceNotStarted):
            raise OSError(answer.error, os.strerror(answer.error))
        return answer

    async def start_view(self) -> ViewProcess:
        """Likewise."""
        self.wish(WISH_VIEW)
        answer = await self._viewed.receive()
        if isinstance(answer, ViewNotStarted):
            raise OSError(answer.error, os.strerror(answer.error))
        return answer


class _Forked:
    """A process that a spawner has forked, and may have reaped.  ``server`` is the number of its render server, 0: none."""

    def __init__(self, spawner: Spawner, life: int) -> None:
        self.server = 0
        self._spawner = spawner
        self._lives = [life]  # and its render server's
        self._server_start = trio.Event()
        self._server_answer = trio.Event()
        self._server_error = 0
        self._end = trio.Event()
        self._ending: Ending | None = None
        self._server_end = trio.Event()
        self._server_ending: Ending | None = None

    def note(self, ending: Ending) -> None:
        self._ending = ending
        self.kill()
        self.note_no_server(errno.ESRCH)
        self._end.set()

    def lost(self) -> None:
        """Nobody will report its end; it lasts as long as its link."""
        self.note_no_server(errno.ESRCH)
        self._end.set()

    async def ended(self) -> Ending | None:
        await self._end.wait()
        return self._ending

    def kill(self) -> None:
        """Kills it, by closing its life pipe, and by the spawner in case it has closed its own end
        of that.
        """
        if self._lives:
            for life in self._lives:
                os.close(life)
            self._lives = []
            if self._ending is None:
                self._wish(WISH_END)

    async def start_server(self) -> None:
        self._wish(WISH_SERVER)
        await self._server_answer.wait()
        if not self.server:
            raise OSError(self._server_error, os.strerror(self._server_error))

    def note_server_start(self, pid: int, life: int) -> None:
        self.server = pid
        if self._lives:
            self._lives.append(life)
        else:
            os.close(life)  # it is to end with the process
        self._server_start.set()
        self._server_answer.set()

    def note_no_server(self, error: int) -> None:
        """There will be none."""
        self._server_error = error
        self._server_answer.set()

    async def server_started(self) -> None:
        await self._server_start.wait()

    def note_server(self, ending: Ending) -> None:
        self._server_ending = ending
        self._server_end.set()

    async def server_ended(self) -> str:
        await self._server_end.wait()
        return str(self._server_ending)

    def kill_worker(self, ctx_id: int) -> None:
        self._wish(worker_end(ctx_id))

    def kill_server(self) -> None:
        """Kills it in the same two ways as a device process."""
        for life in self._lives[1:]:
            os.close(life)
        self._lives = self._lives[:1]
        self._wish(WISH_SERVER_END)

    def _wish(self, wish: bytes) -> None:
        with suppress(BrokenPipeError):
            self._spawner.wish(wish)


Process = TypeVar("Process", DeviceProcess, ViewProcess)


class SpawnedDevices:
    """Device processes from the last spawner that the daemon has named."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._spawner: Spawner | None = None
        self._come = trio.Event()

    def use(self, grants: socket.socket, wishes: int) -> None:
        """Uses this spawner from now on; the previous one goes on reporting on what it has
        forked.
        """
        self._spawner = Spawner(grants, wishes)
        self._nursery.start_soon(self._serve, self._spawner)
        self._come.set()
        self._come = trio.Event()

    async def _serve(self, spawner: Spawner) -> None:
        with suppress(LinkError):
            await spawner.run()

    async def start(self, vulkan: bool) -> DeviceProcess:
        return await self._ask(lambda spawner: spawner.start(vulkan))

    async def start_view(self) -> ViewProcess:
        """For one viewer; ``OSError`` when there can be none."""
        return await self._ask(Spawner.start_view)

    def end_views(self) -> None:
        """Ends all view processes: the last viewer has left."""
        if self._spawner is not None:
            with suppress(BrokenPipeError):
                self._spawner.wish(WISH_END_VIEWS)

    async def _ask(self, wish: Callable[[Spawner], Awaitable[Process]]) -> Process:
        with trio.move_on_after(SPAWNER_SECONDS):
            while True:
                spawner = self._spawner
                try:
                    if spawner is not None and spawner.alive:
                        return await wish(spawner)
                except (trio.EndOfChannel, BrokenPipeError):
                    continue
                await self._come.wait()
        raise OSError(errno.ESRCH, "there is no spawner to start one")
