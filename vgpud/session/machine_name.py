# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine's name: from QEMU's command line, where libvirt puts the domain's name, or otherwise
from the unit that the VMM runs in. The session reads it, before it is confined, since the command
line is in the VMM's memory: reading it can take as long as the VMM likes.
"""

import os
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from vgpud.link.credentials import BYTES, Credentials, peer_of, unpack
from vgpud.session.machine_unit import name_by_unit
from vgpud.session.other_end import holders

COMMAND_LINE_MAX = 64 * 1024
NAME_FLAGS = (b"-name", b"--name")
NAME_KEY = "guest"
NAME_MAX = 128
"""Characters of a name; a longer one is cut."""


def learn_name(frontend: int) -> str:
    """The name given by the VMM of a connection that has something to read; empty when it is not
    known.
    """
    return next(filter(None, map(_name_of, _candidates(frontend))), "")


def _candidates(frontend: int) -> Iterator[int]:
    """Processes that may be the VMM, the likeliest first.  libvirt makes the connection for QEMU,
    which then runs as our user.
    """
    with socket.socket(fileno=os.dup(frontend)) as connection:
        if sender := _sender(connection):
            yield sender
            return
        yield peer_of(connection).process
    yield from holders(frontend)


def _name_of(process: int) -> str:
    if process <= 0:
        return ""
    return name_in(_command_line(process)) or shown(name_by_unit(process))


def _sender(connection: socket.socket) -> int:
    """The sender of the first message, which stays unread; 0 when it came before credentials were
    asked for.
    """
    room = socket.CMSG_SPACE(BYTES)
    try:
        # There is no room for descriptors that come with it, so none are taken.
        _, ancillary, _, _ = connection.recvmsg(1, room, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        ancillary = []
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            sender: Credentials = unpack(content)
            return sender.process
    return 0


def _command_line(process: int) -> bytes:
    """Empty when we may not see it, as where processes of other users are hidden."""
    try:
        with Path(f"/proc/{process}/cmdline").open("rb") as file:
            return file.read(COMMAND_LINE_MAX)
    except OSError:
        return b""


def name_in(command_line: bytes) -> str:
    """The name in ``-name NAME`` or ``-name guest=NAME,…``, where commas are doubled; empty when there is none."""
    words = command_line.split(b"\0")
    for flag, value in pairwise(words):
        if flag in NAME_FLAGS:
            return _name(value.decode(errors="replace"))
    return ""


def _name(value: str) -> str:
    # A doubled comma stands for one comma, which separates nothing.
    for number, part in enumerate(value.replace(",,", "\0").split(",")):
        key, equals, name = part.partition("=")
        if equals and key == NAME_KEY:
            return shown(name)
        if not equals and number == 0:
            return shown(part)
    return ""


def shown(name: str) -> str:
    """The name for a line of text."""
    text = "".join(one if one.isprintable() else "?" for one in name.replace("\0", ","))
    return text.strip()[:NAME_MAX]
