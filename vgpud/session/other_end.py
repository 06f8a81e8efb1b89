# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which processes hold the other end of a connection, from the kernel's sock_diag(7) and from
/proc. Needed for a connection whose first message came before its sender's credentials were asked
for.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct

NETLINK_SOCK_DIAG = 4  # linux/netlink.h
SOCK_DIAG_BY_FAMILY = 20  # linux/sock_diag.h
NLM_F_REQUEST = 1
UDIAG_SHOW_PEER = 1 << 2  # linux/unix_diag.h
UNIX_DIAG_PEER = 2
ALL_STATES = (1 << 32) - 1
NO_COOKIE = (1 << 32) - 1

_HEADER = Struct("=IHHII")  # struct nlmsghdr
_REQUEST = Struct("=BBHIII2I")  # struct unix_diag_req
_ANSWER = Struct("=4BI2I")  # struct unix_diag_msg
_ATTRIBUTE = Struct("=HH")  # struct rtattr
_INODE = Struct("=I")
ANSWER_BYTES = 4096
SECONDS = 1.0


def holders(connection: int) -> Iterator[int]:
    """Those that we may look at: processes of our own user, as QEMU is for a vgpud of libvirt."""
    inode = _peer(os.fstat(connection).st_ino)
    if not inode:
        return
    wanted, own = f"socket:[{inode}]", os.geteuid()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and wanted in _files(folder, own):
            yield int(folder.name)


def _files(process: Path, user: int) -> Iterator[str]:
    """What a process of that user has open, which can be read without waiting; nothing for one that
    ends meanwhile.
    """
    with suppress(OSError):
        if process.stat().st_uid != user:
            return
        for file in (process / "fd").iterdir():
            with suppress(FileNotFoundError):
                yield str(file.readlink())


def _peer(inode: int) -> int:
    """The inode of the other end's socket; 0 if the kernel does not tell."""
    request = _REQUEST.pack(
        socket.AF_UNIX, 0, 0, ALL_STATES, inode, UDIAG_SHOW_PEER, NO_COOKIE, NO_COOKIE
    )
    length = _HEADER.size + len(request)
    header = _HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(SECONDS)
            kernel.send(header + request)
            return _peer_in(kernel.recv(ANSWER_BYTES))
    except OSError:  # this process may have no such socket, or the kernel has no sock_diag
        return 0


def _peer_in(answer: bytes) -> int:
    """The inode in the only message of an answer."""
    if len(answer) < _HEADER.size or _HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
        return 0
    at = _HEADER.size + _ANSWER.size
    while at + _ATTRIBUTE.size + _INODE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == UNIX_DIAG_PEER:
            return int(_INODE.unpack_from(answer, at + _ATTRIBUTE.size)[0])
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return 0
