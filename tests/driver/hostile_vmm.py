# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A VMM that may do anything: any message, any descriptor, at any time, and then silence."""

from __future__ import annotations

import array
import contextlib
import select
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from . import commands
from .backend import Machine
from .closing import Closing
from .descriptors import make_blocking
from .frontend import (
    FLAG_NEED_REPLY,
    QEMU_PROTOCOL,
    VERSION,
    Frontend,
    Protocol,
    Request,
    RequestRefusedError,
)
from .gpu import Guest
from .memory import PAGE, GuestMemory, MiB
from .protocol import HEADER, DisconnectedError
from .rings import RingFullError

MEMORY_BYTES = 2 * MiB
# A region of its own, beside the guest's memory.
REGION_ADDRESS, REGION_BYTES, REGION_USER = 1 << 40, 16 * PAGE, 0x7D00_0000_0000
CONTROL, CURSOR = 0, 1


class HostileVmm(Closing):
    """Connected, and after :meth:`start` a machine that works; what then happens to it is its own doing.

    ``display`` is this end of its display socket, which nobody reads, and ``display_theirs`` a copy of the other end, whose flags
    are the backend's too.
    """

    def __init__(
        self,
        socket_path: Path,
        *,
        cursor_size: int = 16,
        seconds: float = 5.0,
        protocol: Protocol = QEMU_PROTOCOL,
    ) -> None:
        with contextlib.ExitStack() as failed:
            self.memory = GuestMemory(MEMORY_BYTES)
            failed.callback(self.memory.close)
            self.guest = Guest(self.memory, cursor_size=cursor_size, timeout=seconds)
            failed.callback(self.guest.close)
            self.display, self.display_theirs = socket.socketpair()
            failed.enter_context(self.display)
            failed.enter_context(self.display_theirs)
            self.frontend = Frontend.connect(socket_path, timeout=seconds, wanted_protocol=protocol)
            # Without a time limit, which waits even where nobody wants to.
            self._raw = self.frontend.connection.dup()
            self._raw.setblocking(False)
            failed.callback(self.leave)
            self._owned = failed.pop_all()

    def start(self, *, with_display: bool = True) -> None:
        """All that an honest VMM says until its guest works."""
        with self.display_theirs.dup() as display:
            given = display if with_display else None
            self.frontend.start(self.memory, self.guest.queues, given)

    def leave(self) -> None:
        """Ends the connection and keeps everything else: displays, memory, eventfds."""
        self._raw.close()
        self.frontend.close()

    def close(self) -> None:
        self._owned.close()

    # --- any message

    def raw(self, data: bytes, descriptors: Sequence[int] = ()) -> int:
        """Bytes and descriptors as they are; how many went, without waiting."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            return self._raw.sendmsg([data], rights if descriptors else [])
        return 0

    def message(
        self,
        request: int,
        payload: bytes = b"",
        descriptors: Sequence[int] = (),
        flags: int = VERSION,
        size: int | None = None,
    ) -> int:
        """``size``: what the header claims, whatever the payload is."""
        length = len(payload) if size is None else size
        return self.raw(HEADER.pack(request, flags, length) + payload, descriptors)

    def half(self, request: int, descriptors: Sequence[int] = ()) -> None:
        """The beginning of a message that never goes on."""
        self.message(request, b"half", descriptors, size=1000)

    def flood(self, request: int, payload: bytes = b"", seconds: float = 0.1) -> int:
        """The same message again and again, answers unread, until it takes no more for so long; how many."""
        message = HEADER.pack(request, VERSION, len(payload)) + payload
        poll, sent = select.poll(), 0
        poll.register(self._raw, select.POLLOUT)
        while sent < FLOOD_BYTES and poll.poll(seconds * 1000):
            if not (went := self.raw((message * 64)[sent % len(message) :])):
                break
            sent += went
        return sent // len(message)

    def hand_over(
        self, place: str, descriptor: int, between: Callable[[], None] = lambda: None
    ) -> None:
        """Gives the descriptor as what ``PLACES`` calls so, and asks for an acknowledgement.

        ``between`` is called when it is on its way, and what it is meant for has not been said in full.
        """
        request, payload = PLACES[place]
        if not self.frontend.protocol:
            self.message(Request.SET_PROTOCOL_FEATURES, _u64(QEMU_PROTOCOL))
        flags = VERSION | FLAG_NEED_REPLY
        data = HEADER.pack(request, flags, len(payload)) + payload
        self.raw(data[:FIRST_BYTES], [descriptor])
        between()
        self.raw(data[FIRST_BYTES:])

    def outcome(self, seconds: float = 0.3) -> str:
        """What became of the last message: an answer, the end of the connection, or silence."""
        poll = select.poll()
        poll.register(self._raw, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return "silence"
        try:
            data = self._raw.recv(4096)
        except OSError:
            return "the end"
        return "an answer" if data else "the end"

    # --- a guest at work, as far as it still can

    def work(self) -> None:
        """Commands in both queues, kicked and not waited for; draws a bit if it can."""
        with contextlib.suppress(OSError, RingFullError):
            self.guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
            self.guest.cursor.submit(commands.move_cursor(0, 1, 2), 0)

    def flush_frames(self, count: int, side: int = 512) -> None:
        """So many large frames in a row, more than a display's socket holds; its guest is answered."""
        memory = GuestMemory(side * side * 4 + MiB, first_address=1 << 36)
        self._owned.callback(memory.close)
        [region] = memory.regions
        self.frontend.add_region(region)
        number, whole = 1000, commands.Rectangle(0, 0, side, side)
        pixels = commands.Format.B8G8R8X8_UNORM
        self.guest.do(commands.resource_create_2d(number, pixels, side, side))
        entries = [(region.guest_address, side * side * 4)]
        self.guest.do(commands.resource_attach_backing(number, entries))
        self.guest.do(commands.set_scanout(0, number, whole))
        for _ in range(count):
            self.guest.do(commands.transfer_to_host_2d(number, whole))
            self.guest.do(commands.resource_flush(number, whole))

    # --- what it does to what it shares

    def make_everything_block(self) -> None:
        """O_NONBLOCK goes from all that it has handed over."""
        for queue in self.guest.queues:
            for descriptor in (queue.kick_fd, queue.call_fd, queue.err_fd):
                make_blocking(descriptor)
        make_blocking(self.display_theirs.fileno())

    def park_in(self, end: socket.socket) -> None:
        """Sends its own connection there, where nobody reads it; with its exit that is the last copy."""
        socket.send_fds(end, [HEADER.pack(1, VERSION | 4, 8) + bytes(8)], [self.own])

    @property
    def own(self) -> int:
        return self.frontend.connection.fileno()


FIRST_BYTES = 4
FLOOD_BYTES = MiB // 4

# What the next of these raise when the backend has had enough.
ENDED = (DisconnectedError, RequestRefusedError, OSError)


def _u64(value: int) -> bytes:
    return struct.pack("=Q", value)


_REGION = struct.pack("=4Q", REGION_ADDRESS, REGION_BYTES, REGION_USER, 0)

PLACES: dict[str, tuple[int, bytes]] = {
    "the memory table": (Request.SET_MEM_TABLE, struct.pack("=II", 1, 0) + _REGION),
    "a memory region": (Request.ADD_MEM_REG, bytes(8) + _REGION),
    "the dirty log": (Request.SET_LOG_BASE, struct.pack("=QQ", PAGE, 0)),
    "the log's eventfd": (Request.SET_LOG_FD, b""),
    "the control queue's kick": (Request.SET_VRING_KICK, _u64(CONTROL)),
    "the cursor queue's kick": (Request.SET_VRING_KICK, _u64(CURSOR)),
    "the control queue's call": (Request.SET_VRING_CALL, _u64(CONTROL)),
    "the cursor queue's call": (Request.SET_VRING_CALL, _u64(CURSOR)),
    "the cursor queue's err": (Request.SET_VRING_ERR, _u64(CURSOR)),
    "the backend channel": (Request.SET_BACKEND_REQ_FD, b""),
    "the display": (Request.GPU_SET_SOCKET, b""),
    "the chains in flight": (Request.SET_INFLIGHT_FD, struct.pack("=QQHH4x", PAGE, 0, 2, 64)),
    "what takes none": (Request.GET_FEATURES, b""),
    "what nobody knows": (99, b""),
}


def other_machines_descriptors(machine: Machine, stack: contextlib.ExitStack) -> dict[str, int]:
    """Of a machine whose VMM gives them to this one: ``display``, ``kick``, ``memory``."""
    theirs = machine.new_display()
    display = stack.enter_context(theirs.dup())
    machine.frontend.set_gpu_socket(theirs)
    return {
        "display": display.fileno(),
        "kick": machine.guest.control.kick_fd,
        "memory": machine.memory.regions[0].fd,
    }
