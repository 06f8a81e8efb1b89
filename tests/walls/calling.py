# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m tests.walls.calling LIST``: which system calls a process can make that has confined itself by that list.

Standard input has attempts, a line of JSON each: a number and arguments.  Standard output gets for each whether the call was made.
Each is made by a process of its own, since some do not return.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import sys

from tests.walls.allowed import OWN, POINTER
from vgpud.walls import seccomp

REFUSED, MADE = b"n", b"y"
SECONDS = 5.0


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
        if not select.select([reading], [], [], SECONDS)[0]:
            return True  # it waits
        # One that has ended without a word has made the call.
        return os.read(reading, 1) != REFUSED
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _make(name: str, number: int, arguments: list[int], report: int) -> None:
    """In the child, which it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(4096)
    special = {OWN: os.getpid(), POINTER: ctypes.addressof(memory)}
    words = [ctypes.c_long(special.get(word, word)) for word in arguments]
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    seccomp.confine(name)
    result = libc.syscall(ctypes.c_long(number), *words)
    refused = result == -1 and ctypes.get_errno() == errno.ENOSYS
    os.write(report, REFUSED if refused else MADE)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
