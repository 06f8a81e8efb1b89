# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Every kind of descriptor that a VMM can hand over, of which a backend expects three or four.

Each kind is a function that is given :class:`Hands` and returns the descriptor; what has to stay open or filled meanwhile, the
hands keep.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from .fuse import SilentFile
from .memory import MiB

LINGER_SECONDS = 30
EVENTFD_MAXIMUM = 2**64 - 2
F_ADD_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1033, 1, 2, 4, 8
CLOSE_ON_EXEC, NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK

_libc = ctypes.CDLL(None, use_errno=True)


class Hands(contextlib.ExitStack):
    """What a VMM holds; all of it is closed in the end.

    ``on_the_way`` is what is to be done while a descriptor is with nobody yet, ``handed_over`` when somebody else has it too.
    """

    def __init__(self, *, own: int = -1, others: dict[str, int] | None = None) -> None:
        """``own``: the VMM's end of its connection; ``others``: descriptors of another machine, by name."""
        super().__init__()
        self.own = own
        self.others = others or {}
        self.on_the_way: list[Callable[[], None]] = []
        self.handed_over: list[Callable[[], None]] = []

    def hold(self, descriptor: int) -> int:
        """Closed with everything else."""
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self.callback(_close, descriptor)
        return descriptor

    def socket(self, end: socket.socket) -> int:
        self.enter_context(end)
        return end.fileno()

    def between(self) -> None:
        """To be called when the descriptor is on its way."""
        _do(self.on_the_way)

    def after(self) -> None:
        """To be called when it has arrived."""
        _do(self.handed_over)


def _do(actions: list[Callable[[], None]]) -> None:
    for action in actions:
        action()
    actions.clear()


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def make_blocking(descriptor: int) -> None:
    """Takes O_NONBLOCK away, from whoever else has the descriptor as well."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)


def fill_event(event: int) -> None:
    """Whatever it counted: the next one who writes to it waits, if it may."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(event)
    os.eventfd_write(event, EVENTFD_MAXIMUM)


def fill(end: socket.socket) -> None:
    """Until nothing more goes in."""
    end.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            end.send(bytes(1 << 16))


def lingering() -> tuple[socket.socket, socket.socket]:
    """A TCP connection whose first end has so much unsent that closing it last takes ``LINGER_SECONDS``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_SECONDS))
    fill(near)
    return near, far


def _pipe(hands: Hands, which: int) -> int:
    ends = [hands.hold(end) for end in os.pipe()]
    return ends[which]


def _pipe_without_reader(hands: Hands) -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return hands.hold(writing)


def _full_pipe(hands: Hands) -> int:
    writing = _pipe(hands, 1)
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    hands.handed_over.append(lambda: make_blocking(writing))
    return writing


def _unix(hands: Hands, kind: socket.SocketKind) -> int:
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    hands.socket(far)
    return hands.socket(near)


def _closed_stream(hands: Hands) -> int:
    near, far = socket.socketpair()
    far.close()
    return hands.socket(near)


def _full_stream(hands: Hands) -> int:
    """Full in both directions, and blocking."""
    near, far = socket.socketpair()
    hands.socket(far)
    fill(near)
    hands.handed_over.append(lambda: make_blocking(near.fileno()))
    return hands.socket(near)


def _listening(hands: Hands) -> int:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.bind("")  # the kernel gives it a name
    end.listen()
    return hands.socket(end)


def _lingering(hands: Hands) -> int:
    near, far = lingering()
    descriptor = hands.socket(near)
    # In the end this is closed first, with what it has not read: then nobody waits.
    hands.socket(far)

    # The other process's copy is to be the last one.
    hands.on_the_way.append(near.close)
    return descriptor


def _silent_file(hands: Hands) -> int:
    return hands.enter_context(SilentFile()).descriptor


def _file(hands: Hands) -> int:
    descriptor, path = tempfile.mkstemp()
    Path(path).unlink()
    os.truncate(descriptor, MiB)
    return hands.hold(descriptor)


def _opened(hands: Hands, path: str, flags: int) -> int:
    return hands.hold(os.open(path, flags | CLOSE_ON_EXEC))


def _timer(hands: Hands) -> int:
    """One that is always readable."""
    timer = hands.hold(_libc.timerfd_create(1, CLOSE_ON_EXEC | NONBLOCK))
    _libc.timerfd_settime(timer, 0, struct.pack("=4q", 0, 1000, 0, 1000), None)
    return timer


def _signals(hands: Hands) -> int:
    mask = struct.pack("=Q", 1 << signal.SIGUSR1 - 1).ljust(128, b"\0")
    return hands.hold(_libc.signalfd(-1, mask, CLOSE_ON_EXEC))


def _epoll(hands: Hands) -> int:
    poll = hands.enter_context(select.epoll())
    poll.register(_pipe(hands, 0))
    return poll.fileno()


def _inotify(hands: Hands) -> int:
    watch = hands.hold(_libc.inotify_init1(CLOSE_ON_EXEC))
    _libc.inotify_add_watch(watch, b"/tmp", 0xFFF)
    return watch


def _memfd(hands: Hands, size: int, seals: int = 0) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    memory = hands.hold(os.memfd_create("vgpud-test", flags))
    os.ftruncate(memory, size)
    fcntl.fcntl(memory, F_ADD_SEALS, seals)
    return memory


def _shrinking(hands: Hands) -> int:
    memory = _memfd(hands, MiB)
    hands.handed_over.append(lambda: os.ftruncate(memory, 0))
    return memory


def _eventfd(hands: Hands, count: int, flags: int = 0) -> int:
    """Blocking, once it has been handed over."""
    event = hands.hold(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK | flags))
    os.eventfd_write(event, count)
    hands.handed_over.append(lambda: make_blocking(event))
    return event


SILENT_FILE = "a FUSE file that never answers"

KINDS: dict[str, Callable[[Hands], int]] = {
    "a pipe's reading end": lambda hands: _pipe(hands, 0),
    "a pipe's writing end": lambda hands: _pipe(hands, 1),
    "a pipe that nobody reads": _pipe_without_reader,
    "a full pipe": _full_pipe,
    "a stream socket": lambda hands: _unix(hands, socket.SOCK_STREAM),
    "a datagram socket": lambda hands: _unix(hands, socket.SOCK_DGRAM),
    "a seqpacket socket": lambda hands: _unix(hands, socket.SOCK_SEQPACKET),
    "a socket whose other end is closed": _closed_stream,
    "a full socket": _full_stream,
    "a listening socket": _listening,
    "a TCP socket that lingers": _lingering,
    SILENT_FILE: _silent_file,
    "a file": _file,
    "/dev/zero": lambda hands: _opened(hands, "/dev/zero", os.O_RDWR),
    "/dev/null": lambda hands: _opened(hands, os.devnull, os.O_RDWR),
    "a folder": lambda hands: _opened(hands, "/tmp", os.O_DIRECTORY),
    "a folder's path": lambda hands: _opened(hands, "/tmp", os.O_PATH | os.O_DIRECTORY),
    "a file's path": lambda hands: _opened(hands, str(Path(__file__)), os.O_PATH),
    "a timer": _timer,
    "a signalfd": _signals,
    "an epoll": _epoll,
    "an inotify": _inotify,
    "a process": lambda hands: hands.hold(os.pidfd_open(os.getpid())),
    "sealed memory": lambda hands: _memfd(hands, MiB, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW),
    "memory that nobody writes": lambda hands: _memfd(hands, MiB, F_SEAL_WRITE),
    "memory of no size": lambda hands: _memfd(hands, 0),
    "memory that shrinks": _shrinking,
    "an eventfd that blocks": lambda hands: _eventfd(hands, 0),
    "an eventfd that is full and blocks": lambda hands: _eventfd(hands, EVENTFD_MAXIMUM),
    "a semaphore": lambda hands: _eventfd(hands, EVENTFD_MAXIMUM, os.EFD_SEMAPHORE),
    "another machine's display": lambda hands: hands.others["display"],
    "another machine's kick": lambda hands: hands.others["kick"],
    "another machine's memory": lambda hands: hands.others["memory"],
    "its own connection": lambda hands: hands.own,
}
