# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A rehearsal: a session is served before the first fork, by ourselves, so that each session takes less memory.

The interpreter writes into a function's code while it learns what the function meets (PEP 659), and makes much
else at a first use.  What it has learnt before a fork stays in pages that all sessions share.  There are no
other processes in a rehearsal, no threads, since a fork leaves those behind, and nothing is logged.
"""

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from struct import Struct
from typing import cast

import trio
from loguru import logger

from vgpud.config.schema import Config
from vgpud.display.presenter import Presenter
from vgpud.link import messages as link
from vgpud.link import rights
from vgpud.link.codec import Decoder, encode
from vgpud.link.trio_connection import TrioConnection
from vgpud.session.devices import DeviceProcess
from vgpud.session.session import serve_frontend
from vgpud.tree.process import Ending
from vgpud.vhost_user.messages import (
    HEADER,
    VERSION,
    ConfigAccess,
    Request,
    VringState,
    pack_config,
    pack_u64,
    pack_vring_state,
)

# More changes nothing that can be measured.
TIMES = 2
READ_BYTES = 64 * 1024
MEMORY_BYTES = 64 * 1024
MEMORY_ADDRESS = 1 << 20
CONFIG_BYTES = 16
QUEUES = (0, 1)
QUEUE_SIZE = 64
U64 = Struct("=Q")
REGION = Struct("=5Q")
VRING_ADDRESS = Struct("=2I4Q")


def rehearse() -> bool:
    """Whether all was as it is in a session; if not, sessions only take more memory."""
    logger.disable("vgpud")
    # What a handler raises inside a nursery would leave it in a group.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        return all(trio.run(_rehearse) for _ in range(TIMES))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        logger.enable("vgpud")


async def _rehearse() -> bool:
    ours, theirs = socket.socketpair()
    vmm = _Vmm(trio.socket.from_stdlib_socket(ours))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vmm.run)
        end = trio.socket.from_stdlib_socket(theirs)
        await serve_frontend(end, Config(), _Devices(nursery), make_presenter=_QuietPresenter)
    return vmm.content


class _QuietPresenter(Presenter):
    """One that has nothing to present, and so no thread."""

    async def run(self, on_exit: object) -> None:
        await trio.sleep_forever()


class _Vmm:
    """A VMM until its guest's driver is ready, and when it leaves; ``content`` if it got all its answers."""

    def __init__(self, end: trio.socket.SocketType) -> None:
        self._end = end
        self.content = False

    async def run(self) -> None:
        with self._end, ExitStack() as descriptors:
            try:
                await self._connect()
                await self._start(_Guest(descriptors))
            except (OSError, _UnansweredError):
                return
        self.content = True

    async def _connect(self) -> None:
        await self._ask(Request.GET_FEATURES)
        offered = await self._ask(Request.GET_PROTOCOL_FEATURES)
        await self._tell(Request.SET_PROTOCOL_FEATURES, offered)
        await self._ask(Request.GET_QUEUE_NUM)
        await self._ask(Request.GET_MAX_MEM_SLOTS)
        await self._tell(Request.SET_OWNER)
        await self._ask(
            Request.GET_CONFIG, pack_config(ConfigAccess(0, CONFIG_BYTES, 0, bytes(CONFIG_BYTES)))
        )

    async def _start(self, guest: "_Guest") -> None:
        features = await self._ask(Request.GET_FEATURES)
        await self._tell(Request.SET_FEATURES, features)
        await self._tell(Request.ADD_MEM_REG, guest.region, [guest.memory])
        for queue in QUEUES:
            await self._tell(Request.SET_VRING_NUM, pack_vring_state(VringState(queue, QUEUE_SIZE)))
            await self._tell(Request.SET_VRING_BASE, pack_vring_state(VringState(queue, 0)))
            await self._tell(Request.SET_VRING_ADDR, guest.vring(queue))
            await self._tell(Request.SET_VRING_KICK, pack_u64(queue), [guest.event])
            await self._tell(Request.SET_VRING_CALL, pack_u64(queue), [guest.event])
            await self._tell(Request.SET_VRING_ENABLE, pack_vring_state(VringState(queue, 1)))
        await self._ask(Request.GET_FEATURES)
        for queue in QUEUES:
            await self._ask(Request.GET_VRING_BASE, pack_vring_state(VringState(queue, 0)))

    async def _ask(self, request: Request, payload: bytes = b"") -> bytes:
        await self._tell(request, payload)
        reply = await self._end.recv(READ_BYTES)
        if not reply:
            raise _UnansweredError
        return reply[HEADER.size :]

    async def _tell(
        self, request: Request, payload: bytes = b"", descriptors: Sequence[int] = ()
    ) -> None:
        header = HEADER.pack(request, VERSION, len(payload))
        await self._end.sendmsg([header + payload], rights.pack(descriptors))


class _UnansweredError(Exception):
    """The session has closed the connection instead."""


class _Guest:
    """Memory in which no driver ever writes."""

    def __init__(self, owned: ExitStack) -> None:
        self.memory = os.memfd_create("vgpud-rehearsal", os.MFD_CLOEXEC)
        owned.callback(os.close, self.memory)
        os.ftruncate(self.memory, MEMORY_BYTES)
        self.event = os.eventfd(0)
        owned.callback(os.close, self.event)
        self.region = REGION.pack(0, 0, MEMORY_BYTES, MEMORY_ADDRESS, 0)

    def vring(self, queue: int) -> bytes:
        """Descriptors, used and available entries, each in a part of the memory."""
        part = MEMORY_BYTES // 8
        places = [MEMORY_ADDRESS + part * (4 * queue + number) for number in range(3)]
        return VRING_ADDRESS.pack(queue, 0, *places, 0)


class _Devices:
    """Answers as a device process does, without one."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def start(self, vulkan: bool) -> DeviceProcess:
        ours, theirs = socket.socketpair()
        self._nursery.start_soon(self._serve, trio.socket.from_stdlib_socket(theirs))
        return DeviceProcess(os.getpid(), TrioConnection(ours), _Life())

    async def _serve(self, end: trio.socket.SocketType) -> None:
        decoder = Decoder(link.FROM_SESSION)
        with end:
            while True:
                data, ancillary, *_ = await end.recvmsg(READ_BYTES, rights.ANCILLARY_BYTES)
                decoder.feed(data, rights.unpack(ancillary))
                if not data:
                    return
                for message, descriptors in decoder.messages():
                    rights.close(descriptors)
                    await end.send(encode(_answer(cast(link.Request, message))))


def _answer(message: link.Request) -> link.Reply:
    if isinstance(message, link.Start):
        return link.Started((), 0, "", serial=message.serial)
    if isinstance(message, link.StopQueue):
        return link.QueueStopped(0, message.serial)
    return link.Done(message.serial)


class _Life:
    """Of a process that does not exist."""

    async def ended(self) -> Ending | None:
        return None

    async def start_server(self) -> None:
        raise ProcessLookupError

    async def server_started(self) -> None:
        await trio.sleep_forever()

    async def server_ended(self) -> str:
        await trio.sleep_forever()

    def kill(self) -> None:
        return

    def kill_worker(self, ctx_id: int) -> None:
        return

    def kill_server(self) -> None:
        return
