# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A file whose file system no longer answers: reading, touching or closing it waits, and no signal
helps.

The file system is a process of its own (this file, as a program), in a mount namespace of its own: nobody else sees the
mount, and it is gone with the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

SIZE = 64 << 20
MARK = b"PYTHON_VGPUD_TEST"
READY_SECONDS = 5.0

CLONE_NEWNS, CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
MNT_DETACH = 2
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1

# <linux/fuse.h>
FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 2, 3, 14, 15, 18, 25, 26
IN_HEADER = struct.Struct("=IIQQIIIHH")
OUT_HEADER = struct.Struct("=IiQ")
ATTR = struct.Struct("=6Q10I")
BUFFER = 1 << 20


class NoFuseError(Exception):
    """There can be none on this computer, or for this user; the text says why."""


class SilentFile:
    """``descriptor`` is open for reading and writing, ``SIZE`` bytes long.  Whatever a process whose environment has ``MARK``
    does with it lasts until :meth:`let_go`, which this process's end is too; others are answered, or no test could
    start a process while it has such a descriptor: each copy that is closed is a question to the server.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(READY_SECONDS)
            self._server = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
            theirs.close()
            try:
                text, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
            except OSError as error:
                text, descriptors = str(error).encode(), []
        if not descriptors:
            self.let_go()
            raise NoFuseError(text.decode(errors="replace") or "the server has died")
        [self.descriptor] = descriptors
        # The kernel remembers its size from now on, and need not ask.
        assert os.fstat(self.descriptor).st_size == SIZE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def let_go(self) -> None:
        """Whoever waits gets an error, and so does everybody from now on."""
        self._server.kill()
        self._server.wait(READY_SECONDS)

    def close(self) -> None:
        self.let_go()
        with suppress(OSError):
            os.close(self.descriptor)


def why_not() -> str:
    """Why there can be no such file here; nothing when there can."""
    try:
        SilentFile().close()
    except NoFuseError as error:
        return f"no FUSE file can be made: {error}"
    return ""


# --- the server's process


def _serve(link: socket.socket, friend: int) -> None:
    """Returns when there can be no such file.

    Who serves never opens the file: a process that is killed closes what it has open, and one that waits there for an
    answer of its own would wait for ever, with all the others.
    """
    try:
        _die_with_parent()
        _own_mounts()
        place = _empty_file()
        device = _mount(place)
    except (OSError, NoFuseError) as error:
        link.sendall(str(error).encode())
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    opener = os.fork()
    if opener == 0:
        os.close(device)
        _open_and_send(link, place)
        os._exit(0)
    link.close()
    # 0: the kernel itself.
    _answer(device, {0, friend, opener})


def _open_and_send(link: socket.socket, place: str) -> None:
    try:
        _die_with_parent()
        descriptor = os.open(place, os.O_RDWR)
        _LIBC.umount2(place.encode(), MNT_DETACH)
        Path(place).unlink()
        socket.send_fds(link, [b"here"], [descriptor])
    except BrokenPipeError:
        return
    except OSError as error:
        link.sendall(str(error).encode())


def _die_with_parent() -> None:
    _checked(_LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def _empty_file() -> str:
    descriptor, place = tempfile.mkstemp(prefix="vgpud-test-fuse-")
    os.close(descriptor)
    return place


def _own_mounts() -> None:
    user, group = os.geteuid(), os.getegid()
    if _LIBC.unshare(CLONE_NEWNS) != 0:
        _checked(_LIBC.unshare(CLONE_NEWNS | CLONE_NEWUSER), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _checked(_LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "making mounts private")


def _mount(place: str) -> int:
    """A file system that is one file."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode={stat.S_IFREG:o},user_id=0,group_id=0,allow_other"
    flags = MS_NOSUID | MS_NODEV
    result = _LIBC.mount(b"vgpud-test", place.encode(), b"fuse", flags, options.encode())
    _checked(result, "mounting")
    return device


def _answer(device: int, friends: Collection[int]) -> None:
    """Reads everything, which is what makes the waits of others last; returns when nobody has the file any more."""
    while request := _next_request(device):
        _, opcode, unique, _, _, _, process_id, *_ = IN_HEADER.unpack_from(request)
        if opcode != FORGET and (process_id in friends or _is_answered(process_id)):
            body = _REPLIES.get(opcode, b"")
            # Who asked may have been killed meanwhile.
            with suppress(FileNotFoundError):
                os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(body), 0, unique) + body)


def _next_request(device: int) -> bytes:
    try:
        return os.read(device, BUFFER)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return b""
        raise


def _is_answered(process_id: int) -> bool:
    # One that dies has no environment any more, and waits.
    try:
        environment = Path(f"/proc/{process_id}/environ").read_bytes()
    except OSError:
        return False
    return bool(environment) and MARK not in environment


_MODE = stat.S_IFREG | 0o666
_ATTR = ATTR.pack(1, SIZE, SIZE // 512, 0, 0, 0, 0, 0, 0, _MODE, 1, 0, 0, 0, 4096, 0)
_REPLIES = {
    # Version 7.31, 128 KiB a write, and no feature.
    INIT: struct.pack("=IIIIHHIIHHI7I", 7, 31, 0, 0, 12, 10, 1 << 17, 1, 32, 0, *[0] * 8),
    # Attributes that are good for an hour: fstat() does not wait, but reading and closing do.
    GETATTR: struct.pack("=QII", 3600, 0, 0) + _ATTR,
    OPEN: struct.pack("=QII", 1, 0, 0),
}

_LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise NoFuseError(f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
