# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a guest may do that has taken over its device process. Each attack is a function that gets
the device; it may raise, return (then the process goes on honestly) or never return. What the
confinement forbids fails with an error, which does not end the attack: see :func:`_try`.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vgpud.link import messages as m

MAGIC = struct.pack("<I", 0x0E71_0E71)
HEADER_BYTES = 24
ORDERS = 0x0E71_0000
"""The flags, which mean nothing, of SET_CONFIG with an order to the session, in several parts."""
END = b"\0."
"""Of the last part."""
MOST_DESCRIPTORS = 4096
# SCM_MAX_FD: what the kernel takes with one message.
MOST_RIGHTS = 253
MANY = 100_000
FLOOD_SECONDS = 3.0
F_SETSIG = 10
FIOSETOWN, FIOASYNC = 0x8901, 0x5452
# Numbers that no system call has yet are tried as well.
CALLS = 1024

_libc = ctypes.CDLL(None, use_errno=True)

ATTACKS: dict[str, Callable[[Any], object]] = {}


def obey(device: Any, request: bytes) -> None:
    """Does what the guest wants, if this is what it asks for."""
    if request[: len(MAGIC)] != MAGIC:
        return
    name, *others = request[HEADER_BYTES:].decode().split("\0")
    OTHERS[:] = [int(other) for other in others if other.isdigit()]
    PATHS[:] = [other for other in others if other.startswith("/")]
    ATTACKS[name](device)


def attack(name: str) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
    def note(function: Callable[[Any], object]) -> Callable[[Any], object]:
        ATTACKS[name] = function
        return function

    return note


# --- tools


def _try(function: Callable[..., object], *arguments: object) -> None:
    """Ignores all errors."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        function(*arguments)


def _send(descriptor: int, data: bytes, descriptors: Sequence[int] = (), flags: int = 0) -> int:
    """By number: making an object of a socket asks the kernel what it is, which may be forbidden."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=descriptor)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    try:
        return end.sendmsg([data], rights if descriptors else [], flags)
    finally:
        end.detach()


def _raw(device: Any, data: bytes) -> None:
    """Sends all of it to the session, however long that takes."""
    while data:
        data = data[_send(device.link.fileno(), data) :]


def _open_descriptors() -> Iterator[tuple[int, os.stat_result]]:
    for number in range(MOST_DESCRIPTORS):
        with contextlib.suppress(OSError):
            yield number, os.fstat(number)


def _sockets() -> list[int]:
    return [number for number, what in _open_descriptors() if stat.S_ISSOCK(what.st_mode)]


def _files() -> list[tuple[int, int]]:
    """Descriptor and size of each: session state, images, the staging ring, guest memory."""
    return [
        (number, what.st_size)
        for number, what in _open_descriptors()
        if stat.S_ISREG(what.st_mode) and what.st_size
    ]


def _memory() -> int:
    return os.memfd_create("no image")


def _until(seconds: float = FLOOD_SECONDS) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def _header(kind: int, text: int, blob: int, count: int) -> bytes:
    return struct.pack("=4I", kind, text, blob, count)


def _kind(message: type) -> int:
    return m.KINDS.index(message)


# --- words that no honest process says


def _says(name: str, data: bytes) -> None:
    ATTACKS[name] = lambda device: _raw(device, data)


_says("noise", b"\xa5\x5a\x01" * 33_000)
_says("a header of 4 GiB", _header(20, 2**32 - 1, 2**32 - 1, 0))
_says("an unknown kind", _header(9999, 0, 0, 0))
_says("text that is no JSON", _header(20, 4, 0, 0) + b"{{{{")
_says("deep JSON", _header(20, 60_000, 0, 0) + b"[" * 60_000)
_says(
    "a blob of 16 MiB", _header(_kind(m.BackingAttached), 2, 16 << 20, 0) + b"{}" + bytes(16 << 20)
)
_says("descriptors that are not there", _header(_kind(m.ResourceCreated), 2, 0, 200) + b"{}")


def _sends(name: str, *reports: m.Message, image: bool = False, times: int = 1) -> None:
    def say(device: Any) -> None:
        descriptors = [_memory()] if image else []
        for _ in range(times):
            for report in reports:
                device.link.send(report, descriptors)

    ATTACKS[name] = say


_sends("what a daemon says", m.Ping(1))
_sends("backing of nothing", m.BackingAttached(7, b""))
_sends("an image that is none", m.ResourceCreated(1, 1, 64, 64), image=True)
_sends("an image of 2^32 pixels", m.ResourceCreated(1, 1, 2**32 - 1, 2**32 - 1), image=True)
_sends("numbers beyond 32 bits", m.ResourceCreated(2**63, 2**63, 2**63, 2**63), image=True)
_sends("questions about no scanout", *[m.GetEdid(n, 2**63) for n in range(100)])
_sends("answers to nobody", *[m.Done(n) for n in range(100)])
_sends("a second start", m.Started((9, 2**63), 2**63, "again", True))
_sends("a failure", m.Failed("no reason", 2**63, 0))
_sends("a log of strange levels", m.Log("EVIL{}", "{x} <red>"), times=100)
_sends("an end of all memory", m.MemoryFault())
_sends("a queue that broke", m.QueueBroken("x" * 60_000), times=100)


@attack("descriptors without end")
def _descriptors_without_end(device: Any) -> None:
    image = _memory()
    for _ in range(100):
        _send(device.link.fileno(), b"x", [image] * 200)


@attack("an unfinished message with descriptors")
def _unfinished(device: Any) -> None:
    """The receiver keeps descriptors that have no message yet; then silence."""
    image = _memory()
    _send(device.link.fileno(), _header(_kind(m.ResourceCreated), 60_000, 0, 1), [image] * 200)
    for _ in range(50):
        _try(_send, device.link.fileno(), b" ", [image] * 200, socket.MSG_DONTWAIT)
    time.sleep(3600)


@attack("descriptors without end on every socket")
def _descriptors_everywhere(device: Any) -> None:
    image = _memory()
    for end in _sockets():
        for _ in range(200):
            _try(_send, end, b"x" * 64, [image] * 100, socket.MSG_DONTWAIT)


@attack("sockets inside sockets")
def _nested(device: Any) -> None:
    """Sends each of its ends into every other, so that a copy stays where nobody reads."""
    ends = _sockets()
    for end in ends:
        for other in ends:
            _try(_send, end, b"y" * 64, [other], socket.MSG_DONTWAIT)


# --- floods


def _floods(name: str, report: m.Message, image: bool = False) -> None:
    def flood(device: Any) -> None:
        descriptors = [_memory()] if image else []
        for _ in _until():
            for _ in range(100):
                device.link.send(report, descriptors)

    ATTACKS[f"a flood of {name}"] = flood


_floods("questions of displays", m.GetDisplayInfo(1))
_floods("questions of an EDID", m.GetEdid(1, 0))
_floods("log lines", m.Log("ERROR", "<3>you have been" + "x" * 1000))
_floods("images", m.ResourceCreated(1, 1, 64, 64), image=True)
_floods("images made", m.ImageMade(1), image=True)
_floods("resources gone", m.ResourceGone(1))
_floods("3D resources", m.Resource3DCreated(1, 2, 1, 2, 64, 64, 1, 1, 0, 0, 0))
_floods("backings", m.BackingAttached(1, bytes(16 * 4096)))
_floods("backings detached", m.BackingDetached(1))
_floods("UUIDs", m.UuidAssigned(1, bytes(16)))
_floods("contexts", m.ContextCreated(1, 0, "x" * 60_000))
_floods("contexts gone", m.ContextGone(1))
_floods("broken queues", m.QueueBroken("again"))
_floods("pongs", m.Pong(1))


@attack("ever more contexts")
def _ever_more(device: Any) -> None:
    for number in range(MANY):
        device.link.send(m.ContextCreated(number, 0, "x" * 100))


@attack("ever more resources")
def _ever_more_resources(device: Any) -> None:
    for number in range(MANY):
        device.link.send(m.Resource3DCreated(number, 2, 1, 2, 64, 64, 1, 1, 0, 0, 0))


@attack("a flood on standard error")
def _standard_error(device: Any) -> None:
    for _ in _until():
        _try(os.write, 2, b"<0>no line ends here " * 3000)
        _try(os.write, 2, b"<3>\x1b[2J\xff\n" * 3000)


@attack("a flood on every descriptor")
def _everywhere(device: Any) -> None:
    """Whatever else was inherited: a process of one machine must have nothing of the others."""
    for _ in range(20):
        for number, what in _open_descriptors():
            if stat.S_ISSOCK(what.st_mode):
                _try(_send, number, os.urandom(4096), (), socket.MSG_DONTWAIT)
            elif not stat.S_ISREG(what.st_mode) and number > 2:
                _try(os.set_blocking, number, False)
                _try(os.write, number, os.urandom(4096))


# --- what is shared


def _scribble(bits: Callable[[int], bytes]) -> None:
    for descriptor, size in _files():
        for offset in range(0, min(size, 64 << 20), 1 << 16):
            _try(_scribble_at, descriptor, offset, bits(min(1 << 16, size - offset)))


def _scribble_at(descriptor: int, offset: int, bits: bytes) -> None:
    with mmap.mmap(descriptor, len(bits), offset=offset) as mapped:
        mapped[:] = bits


@attack("ones in all that is shared")
def _ones(device: Any) -> None:
    _scribble(lambda count: b"\xff" * count)


@attack("noise in all that is shared")
def _noise_in_memory(device: Any) -> None:
    for _ in range(3):
        _scribble(os.urandom)


@attack("files that shrink")
def _shrink(device: Any) -> None:
    for descriptor, _ in _files():
        _try(os.ftruncate, descriptor, 0)
    time.sleep(0.2)


RECORD = struct.Struct("=12IQ4x")


@attack("a present channel of noise")
def _present_noise(device: Any) -> None:
    for end in _sockets():
        if end != device.link.fileno():
            for _ in range(200):
                _try(_send, end, os.urandom(RECORD.size), (), socket.MSG_DONTWAIT)
                _try(_send, end, b"", (), socket.MSG_DONTWAIT)


@attack("records of anything")
def _records(device: Any) -> None:
    """Each kind of record, with numbers at their limits, and a file that is not an image."""
    image = _memory()
    numbers = (0, 1, 64, 2**31, 2**32 - 1)
    for end in _sockets():
        if end == device.link.fileno():
            continue
        for kind in range(12):
            for number in numbers:
                record = RECORD.pack(kind, *[number] * 11, number << 32)
                for size in (RECORD.size, RECORD.size - 4, 48, 56, 72):
                    data = record.ljust(size, b"\0")[:size]
                    _try(_send, end, data, [image], socket.MSG_DONTWAIT)
                    _try(_send, end, data, (), socket.MSG_DONTWAIT)


# --- its own life


def _shut(ends: Sequence[int]) -> None:
    for end in ends:
        shutting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=end)
        _try(shutting.shutdown, socket.SHUT_RDWR)
        shutting.detach()
        _try(os.close, end)


@attack("a closed link")
def _close_link(device: Any) -> None:
    _shut([device.link.fileno()])
    time.sleep(3600)


@attack("a closed present channel")
def _close_channel(device: Any) -> None:
    _shut([end for end in _sockets() if end != device.link.fileno()])


@attack("everything closed")
def _close_all(device: Any) -> None:
    _try(os.closerange, 0, MOST_DESCRIPTORS)
    while True:
        time.sleep(3600)


@attack("its end")
def _end(device: Any) -> None:
    os._exit(0)


@attack("an abort")
def _abort(device: Any) -> None:
    os.abort()


@attack("a stop")
def _stop(device: Any) -> None:
    """Sends itself what stops it, if that is allowed, and sleeps if not."""
    _try(signal.raise_signal, signal.SIGSTOP)
    _try(os.kill, os.getpid(), signal.SIGSTOP)
    time.sleep(3600)


@attack("a busy loop")
def _busy(device: Any) -> None:
    _deaf()
    while True:
        pass


@attack("deafness")
def _sleep(device: Any) -> None:
    """Ignores its link, and every signal that can be ignored."""
    _deaf()
    while True:
        time.sleep(3600)


def _deaf() -> None:
    for number in range(1, 65):
        _try(signal.signal, number, signal.SIG_IGN)


# --- others

OTHERS: list[int] = []
"""Processes of other machines.  The guest names them, so that no other process on this computer is
hit.
"""

PATHS: list[str] = []
"""Files of others, likewise."""


@attack("signals to others")
def _signals(device: Any) -> None:
    for one in OTHERS:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            _try(os.kill, one, number)
            _try(_libc.tgkill, one, one, number)


@attack("signals by way of descriptors")
def _signals_by_descriptors(device: Any) -> None:
    """The kernel sends them when something comes, in the name of whoever owns the descriptor."""
    ends = _sockets()
    with contextlib.suppress(OSError):
        near, far = os.pipe()
        ends.append(near)
    for one in OTHERS:
        for end in ends:
            _try(fcntl.fcntl, end, F_SETSIG, signal.SIGKILL)
            _try(fcntl.fcntl, end, fcntl.F_SETOWN, one)
            _try(fcntl.ioctl, end, FIOSETOWN, struct.pack("i", one))
            _try(fcntl.ioctl, end, FIOASYNC, struct.pack("i", 1))
            _try(fcntl.fcntl, end, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
        with contextlib.suppress(OSError, NameError):
            os.write(far, b"x")
            os.read(near, 1)


@attack("files of others")
def _files_of_others(device: Any) -> None:
    """By their paths: a socket that nobody may connect to keeps every newcomer out."""
    for path in PATHS:
        for action in (
            lambda: os.chmod(path, 0),  # noqa: B023, PTH101
            lambda: os.chown(path, 65534, 65534),  # noqa: B023
            lambda: os.truncate(path, 0),  # noqa: B023
            # Landlock checks this from its third version on.
            lambda: os.close(os.open(path, os.O_RDONLY | os.O_TRUNC)),  # noqa: B023
            lambda: os.rename(path, f"{path}.gone"),  # noqa: B023, PTH104
            lambda: os.unlink(path),  # noqa: B023, PTH108
        ):
            _try(action)


@attack("a look at others")
def _look(device: Any) -> None:
    """Their memory and descriptors; what is found is stopped from working."""
    for one in OTHERS:
        for name in ("mem", "fd/0", "fd/3", "fd/5", "oom_score_adj", "comm"):
            _try(_spoil, f"/proc/{one}/{name}")
        _try(os.pidfd_open, one)


def _spoil(path: str) -> None:
    opened = os.open(path, os.O_RDWR)
    _try(os.write, opened, b"1000")
    _try(os.ftruncate, opened, 0)
    os.close(opened)


@attack("limits of others")
def _limits(device: Any) -> None:
    for one in OTHERS:
        _try(resource.prlimit, one, resource.RLIMIT_NOFILE, (0, 0))
        _try(resource.prlimit, one, resource.RLIMIT_CPU, (0, 0))
        _try(os.sched_setaffinity, one, {0})
        _try(os.sched_setscheduler, one, os.SCHED_IDLE, os.sched_param(0))
        _try(os.setpriority, os.PRIO_PROCESS, one, 19)
    # Of all that are in our process group, and of all that are our user's.
    for kind in (os.PRIO_PGRP, os.PRIO_USER):
        _try(os.setpriority, kind, 0, 19)


@attack("processes without end")
def _fork(device: Any) -> None:
    for _ in range(20):
        with contextlib.suppress(OSError):
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)


@attack("memory without end")
def _memory_files(device: Any) -> None:
    """Descriptors and pipes, of which a user may not have any number."""
    kept = []
    with contextlib.suppress(OSError):
        for _ in range(MANY):
            kept.append(_memory())
    with contextlib.suppress(OSError):
        for _ in range(MANY):
            kept += os.pipe()
    time.sleep(1)


@attack("datagrams to others")
def _datagrams(device: Any) -> None:
    """To whoever listens at a path: a service manager, a log."""
    for path in PATHS:
        for make in (socket.socketpair, lambda *kind: (socket.socket(*kind),)):
            with contextlib.suppress(OSError):
                for end in make(socket.AF_UNIX, socket.SOCK_DGRAM):
                    _try(end.sendto, b"a forged word", path)
                    _try(end.sendmsg, [b"a forged word"], [], 0, path)
        for number in _sockets():
            known = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, 0, fileno=number)
            _try(known.sendto, b"a forged word", socket.MSG_DONTWAIT, path)
            _try(known.connect, path)
            known.detach()


@attack("memory that stays")
def _lasting_memory(device: Any) -> None:
    """Of System V, which has no owner that could end."""
    size = ctypes.c_size_t(1 << 20)
    for _ in range(10):
        _libc.shmget(0, size, 0o1600)
        _libc.semget(0, 10, 0o1600)
        _libc.msgget(0, 0o1600)


ON_OTHERS = (
    "signals to others", "signals by way of descriptors", "files of others", "a look at others", "limits of others",
    "datagrams to others", "memory that stays", "processes without end",
)  # fmt: skip


@attack("descriptors under way")
def _under_way(device: Any) -> None:
    """As many as it can put where nobody reads, in whatever sockets it has and can make."""
    image, ends = _memory(), _sockets()
    with contextlib.suppress(OSError):
        for _ in range(100):
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ends += [end.detach() for end in pair]
    sent = 0
    for end in ends:
        with contextlib.suppress(OSError):
            while True:
                _send(end, b"x", [image] * MOST_RIGHTS, socket.MSG_DONTWAIT)
                sent += MOST_RIGHTS
    os.write(2, f"under way: {sent}\n".encode())
    time.sleep(3600)


@attack("a name that is no text and looks like the end of one")
def _name(device: Any) -> None:
    _libc.prctl(15, b"\xff) R 1 \xfe", 0, 0, 0)


@attack("all that is done to others")
def _all_of_it(device: Any) -> None:
    for name in ON_OTHERS:
        ATTACKS[name](device)
    os.write(2, b"all is done\n")


@attack("every call")
def _every_call(device: Any) -> None:
    """The attacks that exist.  After the first ones of ``OTHERS`` no process could report
    anything.
    """
    made = []
    for number in set(range(CALLS)) - set(OTHERS):
        ctypes.set_errno(0)
        _libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
        if ctypes.get_errno() != errno.ENOSYS:
            made.append(number)
    os.write(2, f"calls made: {made}\n".encode())
