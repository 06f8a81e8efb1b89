# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m tests.walls.calling LIST``: which system calls a process can make that has confined itself by that list.

Standard input has attempts, a line of JSON each: a number and arguments.  Standard output gets for each whether the call was made.
Each is made by a process of its own, since some do not return: one that is seen to wait in its call has made it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from tests.walls.allowed import OWN, POINTER
from vgpud.walls import seccomp

# What the process says: that it is confined and makes its call next, and what came of it.
CONFINED, REFUSED, MADE = b"c", b"n", b"y"
SECONDS = 5.0
LOOK_SECONDS = 0.05


def main(name: str) -> None:
    seccomp.prepare()
    for line in sys.stdin:
        number, arguments = json.loads(line)
        print(json.dumps(_is_made(name, number, arguments)))


def _is_made(name: str, number: int, arguments: list[int]) -> bool:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _make(name, number, arguments, writing)
    os.close(writing)
    try:
        return _outcome(child, reading, number)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _outcome(child: int, reading: int, number: int) -> bool:
    end = time.monotonic() + SECONDS
    confined = False
    while time.monotonic() < end:
        if select.select([reading], [], [], LOOK_SECONDS)[0]:
            said = os.read(reading, 1)
            if said != CONFINED:
                # One that has ended without a word has made the call.
                return said != REFUSED
            confined = True
        elif confined and _waits_in(child, number):
            return True
    return True  # it is at work in it, or waits where nobody can see it


def _waits_in(process_id: int, number: int) -> bool:
    """A call that a filter refuses returns at once, and never waits."""
    try:
        state = Path(f"/proc/{process_id}/syscall").read_text()
    except OSError:
        return False
    return state.split()[0] == str(number)


def _make(name: str, number: int, arguments: list[int], report: int) -> None:
    """In the child, which it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(4096)
    special = {OWN: os.getpid(), POINTER: ctypes.addressof(memory)}
    words = [ctypes.c_long(special.get(word, word)) for word in arguments]
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    seccomp.confine(name)
    os.write(report, CONFINED)
    result = libc.syscall(ctypes.c_long(number), *words)
    refused = result == -1 and ctypes.get_errno() == errno.ENOSYS
    os.write(report, REFUSED if refused else MADE)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
