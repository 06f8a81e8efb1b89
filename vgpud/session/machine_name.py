# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a machine is called: QEMU says so on its command line, and libvirt makes that from the machine's own name; or else the
unit says it that the VMM runs in.

It is looked at by the session, and before that is confined, since the command line is in the VMM's memory: whoever reads
it waits for as long as the VMM likes.
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
"""Characters of a name; what is longer is cut."""


def learn_name(frontend: int) -> str:
    """Of the VMM behind a connection that has something to be read; empty when it cannot be learnt."""
    return next(filter(None, map(_name_of, _candidates(frontend))), "")


def _candidates(frontend: int) -> Iterator[int]:
    """Who may be the VMM, the likeliest first.  libvirt makes the connection for QEMU, which is of our user then."""
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
    """Who sent the first message, which stays unread; 0 when that came before anybody wanted to know."""
    room = socket.CMSG_SPACE(BYTES)
    try:
        # Descriptors that come with it have no room, and are not taken.
        _, ancillary, _, _ = connection.recvmsg(1, room, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        ancillary = []
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            sender: Credentials = unpack(content)
            return sender.process
    return 0


def _command_line(process: int) -> bytes:
    """Empty when it may not be seen, as where processes of other users are hidden."""
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
    # What is doubled stands for one, and parts nothing.
    for number, part in enumerate(value.replace(",,", "\0").split(",")):
        key, equals, name = part.partition("=")
        if equals and key == NAME_KEY:
            return shown(name)
        if not equals and number == 0:
            return shown(part)
    return ""


def shown(name: str) -> str:
    """As a line of text has it."""
    text = "".join(one if one.isprintable() else "?" for one in name.replace("\0", ","))
    return text.strip()[:NAME_MAX]
